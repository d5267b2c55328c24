"""The package speaks the language of its field: docs/glossary.md has the words, this the ones that nobody else uses."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PRIVATE = {
    r"go(es)? with|went with": "are co-expressed, change together",
    r"fore(tell|told)\w*": "predict",
    r"dealt|\bdeals?\b|\bdealing\b": "assign, permute",
    r"made out|make out": "recover, recognise",
    r"told (apart|from)|tell (apart|from)": "distinguish",
    r"knock(ed)? away|laid bare": "remove",
}
FILES = [
    path
    for where in ("src", "docs", "benchmarks", "tutorials", "README.md", "tests")
    for path in ([ROOT / where] if (ROOT / where).is_file() else sorted((ROOT / where).rglob("*")))
    if path.suffix in {".py", ".md", ".html", ".j2", ".ipynb"}
    and path.name not in {"test_words.py", "references.md"}
    and "_build" not in path.parts
]


@pytest.mark.parametrize("words", PRIVATE)
def test_no_private_words(words):
    found = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()[:100]}"
        for path in FILES
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if re.search(rf"\b({words})\b", line, re.IGNORECASE) and "image/png" not in line
    ]
    assert not found, f"say: {PRIVATE[words]}\n" + "\n".join(found)
