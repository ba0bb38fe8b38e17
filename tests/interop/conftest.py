"""Makes the neighbouring module importable."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
collect_ignore = ["write_fixtures.py"]
