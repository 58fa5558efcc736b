"""Entry point of the CDK command line, as `sluice deploy` and its like call it."""

import sys
from pathlib import Path

from infra.app import build, check_templates
from sluice.errors import SluiceError

try:
    check_templates(Path(build().synth().directory))
except SluiceError as error:  # an option or a task file that somebody has to mend: where and how, without a traceback
    sys.exit(f"This cannot be deployed:\n{error}")
