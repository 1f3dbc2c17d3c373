"""`python -m serving.api.describe`: prints the OpenAPI description, without starting anything.

Out: what tests/golden/openapi.json holds and the page's types are made from.
"""

import json
import sys

from serving.api.app import create_app
from serving.api.settings import Settings


def main() -> None:
    """Prints the description."""
    json.dump(create_app(Settings()).openapi(), sys.stdout, indent=1, ensure_ascii=False)
    sys.stdout.write("\n")


if __name__ == "__main__":
    main()
