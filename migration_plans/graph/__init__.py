"""Pictures of plans and of proposed services.

`extraction` and `services` say what is drawn; `mermaid`, `dot` and `page` draw it.
"""
