"""Text of unknown origin -> text that a terminal may be given and that UTF-8 can hold."""


def visible(text: str) -> str:
    """The text in one line, with whatever a terminal would act on written out: `\\x1b[31m`."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


def encodable(text: str) -> str:
    """The text with lone surrogates, which UTF-8 has no bytes for, written out: `\\udcff`."""
    return text.encode("utf-8", "backslashreplace").decode()
