"""What is missing, by REST."""

from typing import Any

from airflow.api_fastapi.core_api.security import GetUserDep
from fastapi import APIRouter

from retrofill.model.records import model_of
from retrofill.model.setup import Setup
from retrofill.web.setup import dags_for, require_reader, setup_for

router = APIRouter(prefix="/setup", tags=["Set-up"])


@router.get("", summary="What is missing", response_model=model_of(Setup))
def get_setup(user: GetUserDep) -> Any:
    """Return what is missing before runs can be made, as this API server sees it.

    It is an answer also where the state cannot be used.
    """
    require_reader(user)
    return setup_for(user, dags_for(user))
