"""The endpoint's table of Lambda errors says what botocore's model of Invoke says."""

from typing import cast

import botocore.session
from botocore.model import StructureShape

from stack.endpoint.aws_errors import LAMBDA_ERRORS


def test_every_modelled_invoke_error_has_its_status_and_spelling() -> None:
    model = botocore.session.get_session().get_service_model("lambda")
    modelled = {
        shape.name: (
            shape.metadata["error"]["httpStatusCode"],
            "message" if "message" in cast("StructureShape", shape).members else "Message",
        )
        for shape in model.operation_model("Invoke").error_shapes
    }
    assert len(modelled) >= 36
    assert modelled == {name: tuple(LAMBDA_ERRORS[name]) for name in modelled}
