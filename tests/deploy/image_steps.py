"""Print, as bash, the steps that build the image's program, with every path of the image put under ROOT.

    python -m tests.deploy.image_steps ROOT | bash -euo pipefail

So the Dockerfile's own lines are tried on a machine that runs no containers.
"""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path

CHECKOUT = Path(__file__).parents[2]
DOCKERFILE = CHECKOUT / "config" / "docker" / "Dockerfile"
_IMAGE_PATH = re.compile(r"(?<![\w./-])(?=/(?:build|opt)\b)")


def instructions() -> list[tuple[str, str]]:
    """The (instruction, rest) pairs, continuation lines joined, comments dropped."""
    lines = [line for line in DOCKERFILE.read_text().splitlines() if not line.lstrip().startswith("#")]
    joined = re.sub(r"\\\n\s*", "", "\n".join(lines))
    return [(word, rest) for word, _, rest in (line.partition(" ") for line in joined.splitlines()) if word]


def first_stage() -> Iterator[tuple[str, str]]:
    stages = 0
    for word, rest in instructions():
        stages += word == "FROM"
        if stages == 1:
            yield word, rest


def steps(root: Path) -> Iterator[str]:
    source = shlex.quote(str(root / "src"))
    yield f"mkdir -p {source} {shlex.quote(str(root / 'opt'))}"
    for word, rest in first_stage():
        if word == "COPY":
            *origins, target = rest.split()
            for origin in origins:
                place = target if target != "./" else origin
                yield f"cp -R {shlex.quote(str(CHECKOUT / origin))} {source}/{place}"
        if word == "RUN":
            yield f"(cd {source} && {_IMAGE_PATH.sub(str(root), rest)})"


def main() -> None:
    sys.stdout.write("".join(f"{step}\n" for step in steps(Path(sys.argv[1]).resolve())))


if __name__ == "__main__":
    main()
