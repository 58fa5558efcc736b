"""Entry point of the CDK command line: `make synth`, `make deploy`, `make destroy`."""

from infra.app import build

build().synth()
