"""Whether a request that changes something comes from our own page.

Airflow's session cookie is SameSite=Lax: another site cannot send it with a POST, but another
port or subdomain of the same site can. So the browser is asked where the form was.
"""

from collections.abc import Mapping
from urllib.parse import urlsplit


def is_own(headers: Mapping[str, str], base_url: str) -> bool:
    """Tell whether no other page can have made a browser send this request.

    :param headers: of the request, by names of any case
    :param base_url: where Airflow's UI is for people; empty if that is not configured

    Source: https://www.w3.org/TR/fetch-metadata/ (Sec-Fetch-Site), RFC 6454 section 7 (Origin).
    """
    if headers.get("authorization", "").lower().startswith("bearer "):
        return True  # a page cannot make a browser add it
    site = headers.get("sec-fetch-site")
    if site is not None:
        return site == "same-origin"
    # Browsers leave it out where the address is plain HTTP; then there is Origin.
    origin = urlsplit(headers.get("origin", "")).netloc
    return bool(origin) and origin in {headers.get("host"), urlsplit(base_url).netloc}
