import shlex
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from supervisor.options import UnhosedConfigParser, expand

from sandbox.errors import UnfitProgram
from sandbox.programs import ProgramSpec, programs_config

WORDS = st.text(st.characters(exclude_characters="\n\r\0", codec="utf-8"))
KEYS = st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,8}", fullmatch=True)


def read_back(spec):
    """The options of the program as supervisord itself reads them."""
    parser = UnhosedConfigParser()
    parser.read_string(programs_config([spec], log_of=lambda name: Path("/logs") / name))
    section = f"program:{spec.name}"
    return {key: expand(value, {}, key) for key, value in parser.items(section)}


@given(argv=st.lists(WORDS, min_size=1), env=st.dictionaries(KEYS, WORDS))
def test_any_command_and_environment_survive_the_supervisors_reader(argv, env):
    spec = ProgramSpec(name="part", argv=("run", *argv), env=env)
    words = shlex.split(read_back(spec)["command"])
    assignments = [f"{key}={value}" for key, value in sorted(env.items())]
    assert words == (["env", *assignments] if env else []) + ["run", *argv]


def test_a_folder_with_percent_and_comment_signs_survives():
    assert read_back(ProgramSpec(name="part", argv=("x",), cwd=Path("/a%b")))["directory"] == "/a%b"


def test_without_a_folder_the_owners_is_used():
    assert "directory" not in read_back(ProgramSpec(name="part", argv=("x",)))


def test_only_restarting_programs_are_retried():
    assert read_back(ProgramSpec(name="part", argv=("x",)))["startretries"] == "0"
    assert read_back(ProgramSpec(name="part", argv=("x",), autorestart=True))["autorestart"] == "true"


@pytest.mark.parametrize(
    "wrong",
    [
        {"name": "two words", "argv": ("x",)},
        {"name": "", "argv": ("x",)},
        {"name": "part]", "argv": ("x",)},
        {"name": "part", "argv": ()},
        {"name": "part", "argv": ("a\nb",)},
        {"name": "part", "argv": ("x",), "env": {"A": "\0"}},
        {"name": "part", "argv": ("x",), "env": {"A=B": "c"}},
        {"name": "part", "argv": ("x",), "cwd": Path("/a ;b")},
    ],
)
def test_what_the_supervisor_cannot_express_is_refused(wrong):
    with pytest.raises(UnfitProgram):
        ProgramSpec(**wrong)
