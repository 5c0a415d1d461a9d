"""Public headers say what they declare."""

from __future__ import annotations

from pathlib import Path

import pytest
from documentation import undocumented

TREE = Path(__file__).resolve().parents[2]
HEADERS = sorted((TREE / "include").rglob("*.h"))


def test_public_headers_say_what_they_declare() -> None:
    assert HEADERS
    assert [
        str(found)
        for header in HEADERS
        for found in undocumented(header.relative_to(TREE), header.read_text(encoding="utf-8"))
    ] == []


@pytest.mark.error
@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("int f(int x);\n", ["h:1: undocumented: int f(int x);"]),
        ("/// Doubles x.\nint f(int x);\n", []),
        ("/// Both.\nint f(int x);\nint g(int x);\n\nint h();\n", ["h:5: undocumented: int h();"]),
        ("struct A;\nclass B;\nenum class C : int;\n", []),
        ("namespace a::b {\nstruct A {\n    int x;\n};\n}\n", ["h:2: undocumented: struct A {"]),
        ("/// A.\nstruct A {\n    int x;\n\n    int y() const { return 1; }\n};\n", []),
        ("/// Long.\nint f(int x,\n      int y);\n\nint g();\n", ["h:5: undocumented: int g();"]),
        (
            "/// T.\ntemplate <class T>\nT f(T x) {\n  return x;\n}\n\ntemplate <class T>\nT g();",
            ["h:7: undocumented: template <class T>"],
        ),
        ('extern "C" {\n/// F.\nint f();\n\nint g();\n}\n', ["h:5: undocumented: int g();"]),
        ('/// S.\ninline const char *s = "{";\n\nint f();\n', ["h:4: undocumented: int f();"]),
    ],
)
def test_what_is_found(text: str, found: list[str]) -> None:
    assert [str(u) for u in undocumented(Path("h"), text)] == found
