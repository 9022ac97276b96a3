"""Uses a client that openapi-python-client generated. Prints what it did as JSON."""

import json
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar, assert_type
from uuid import UUID

from client.api.auth import auth_login
from client.api.connection import connection_list
from client.api.stream_token import stream_token_mint
from client.api.topology import mutation_create, topology_create, topology_get, topology_stream, topology_update
from client.client import AuthenticatedClient, Client
from client.models.login import Login
from client.models.mutation_op import MutationOp
from client.models.new_mutation import NewMutation
from client.models.new_status import NewStatus
from client.models.new_stream_token import NewStreamToken
from client.models.new_topology import NewTopology
from client.models.problem import Problem
from client.models.stream_family import StreamFamily
from client.models.topology_status import TopologyStatus

T = TypeVar("T")


def ok(result: T | Problem | None) -> T:
    """Returns the result of a call that succeeded."""
    if result is None or isinstance(result, Problem):
        raise RuntimeError(f"refused: {result}")
    return result


def problem(result: object) -> dict[str, object]:
    """Returns the status and the type of a typed error."""
    assert isinstance(result, Problem), result
    return {"status": result.status, "type": result.type_}


def main(origin: str, password: str) -> None:
    login = Login(username="admin", password=password)
    anonymous = Client(base_url=origin)
    token = ok(auth_login.sync(client=anonymous, body=login)).access_token
    client = AuthenticatedClient(base_url=origin, token=token)

    topology = ok(topology_create.sync(client=client, body=NewTopology(name="generated"))).id
    for status in (TopologyStatus.DEPLOYING, TopologyStatus.ACTIVE):
        ok(topology_update.sync(topology, client=client, body=NewStatus(status=status)))
    options = NewStreamToken(family=StreamFamily.TOPOLOGY, id=topology)
    minted = ok(stream_token_mint.sync(client=client, body=options))

    # The function of a stream returns at the end of the stream: after the snapshot and ten events.
    with ThreadPoolExecutor() as executor:
        stream = executor.submit(topology_stream.sync, topology, client=client, max_events=11)
        while not stream.done() and not ok(connection_list.sync(client=client)).items:
            pass
        mutation = NewMutation(op=MutationOp.ADD_NODE)
        published = [str(ok(mutation_create.sync(topology, client=client, body=mutation)).id) for _ in range(10)]
        text = assert_type(stream.result(), Any | Problem | None)
    assert isinstance(text, str), text
    data = [json.loads(line.removeprefix("data:")) for line in text.splitlines() if line.startswith("data:")]
    received = [event["id"] for event in data[1:11]]

    unknown = UUID("0198c2f0-7d52-7a11-8c7e-3f5f1f1f9d10")
    problems = [
        problem(topology_get.sync(unknown, client=client)),
        problem(auth_login.sync(client=anonymous, body=login)),
    ]
    result = {
        "access_token": token,
        "url": minted.url,
        "published": published,
        "received": received,
        "problems": problems,
    }
    print(json.dumps(result))


main(*sys.argv[1:])
