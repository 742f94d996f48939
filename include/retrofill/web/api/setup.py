"""The set-up by REST: what is missing."""

from typing import Any

from airflow.api_fastapi.core_api.security import GetUserDep
from fastapi import APIRouter, Depends

from retrofill.model.records import model_of
from retrofill.model.setup import Setup
from retrofill.web.access import require_reader
from retrofill.web.setup import setup_for

router = APIRouter(prefix="/setup", tags=["Set-up"], dependencies=[Depends(require_reader)])


@router.get("", summary="Get what is missing", response_model=model_of(Setup))
def get_setup(user: GetUserDep) -> Any:
    """Return what is missing before runs can be opened, as this API server sees it.

    This works even if the state cannot be used.
    """
    setup, _ = setup_for(user)
    return setup
