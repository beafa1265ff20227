"""UTF-8 in pieces → one text. Pure."""

import codecs


class GrowingText:
    """Without a second copy of it: a string that nobody else refers to grows in place."""

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")()
        self._text = ""

    def add(self, piece: bytes | memoryview) -> None:
        """Raises ValueError when it is not UTF-8."""
        text, self._text = self._text, ""
        text += self._decoder.decode(bytes(piece))
        self._text = text

    def finish(self) -> str:
        """The whole text. Raises ValueError when the last piece ended inside a character."""
        self._decoder.decode(b"", final=True)
        text, self._text = self._text, ""
        return text
