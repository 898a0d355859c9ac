"""Debian's python3-azure (azure-eventhub) and python3-uamqp against a hub: what they do is said on standard input, and what they saw printed, as JSON.

    clients.py read|properties|device|command|monitor   < request.json

Every connection verifies the hub's certificate against request["caFile"] by the client's own option (connection_verify, verify).
"""
import json
import sys
import threading
from datetime import datetime, timezone

import uamqp
from azure.core.credentials import AccessToken
from azure.eventhub import EventHubConsumerClient
from uamqp import authentication, constants


def consumer(request):
    """azure-eventhub 5.11 on its own AMQP in Python, its default; on uAMQP it needs a newer one than Debian has."""
    return EventHubConsumerClient.from_connection_string(
        request["connectionString"],
        consumer_group=request.get("consumerGroup", "$Default"),
        connection_verify=request["caFile"],
        retry_total=0)


def properties(request):
    with consumer(request) as client:
        hub = client.get_eventhub_properties()
        partitions = [client.get_partition_properties(partition) for partition in client.get_partition_ids()]
    return {
        "name": hub["eventhub_name"],
        "partitionIds": hub["partition_ids"],
        "partitions": [{
            "id": p["id"], "isEmpty": p["is_empty"], "first": p["beginning_sequence_number"], "last": p["last_enqueued_sequence_number"],
            "lastOffset": p["last_enqueued_offset"], "lastTime": p["last_enqueued_time_utc"].timestamp() if not p["is_empty"] else None,
        } for p in partitions],
    }


def start_of(request):
    start = request["from"]
    if isinstance(start, dict):
        return datetime.fromtimestamp(start["time"], timezone.utc)
    return start


def read(request):
    events, errors, done = [], [], threading.Event()
    client = consumer(request)

    def on_event(partition, event):
        if event is None:
            return
        events.append({
            "sequence": event.sequence_number,
            "offset": event.offset,
            "time": event.enqueued_time.timestamp(),
            "body": event.body_as_str(),
            "properties": {text(k): text(v) for k, v in (event.properties or {}).items()},
            "system": {text(k): text(v) for k, v in event.system_properties.items()},
            "last": partition.last_enqueued_event_properties["sequence_number"] if request.get("track") else None,
        })
        if len(events) >= request["count"]:
            done.set()

    def on_error(_, error):
        errors.append(repr(error))
        done.set()

    def run():
        try:
            client.receive(
                on_event, on_error=on_error, partition_id=request["partition"], starting_position=start_of(request),
                starting_position_inclusive=request.get("inclusive", False), owner_level=request.get("ownerLevel"),
                track_last_enqueued_event_properties=bool(request.get("track")), prefetch=request.get("prefetch", 300))
        except Exception as error:  # What the client throws is what the test wants to see.
            on_error(None, error)

    thread = threading.Thread(target=run)
    thread.start()
    arrived = done.wait(request.get("seconds", 30))
    client.close()
    thread.join(30)
    return {"events": events, "errors": errors, "arrived": arrived}


def text(value):
    return value.decode("utf-8") if isinstance(value, bytes) else value if isinstance(value, (str, int, float, bool, type(None))) else str(value)


def device(request):
    """Telemetry as the C device SDK sends it, through the same uAMQP: SASL MSSBCBS, $cbs in the one session, a batch even of one message."""
    host, address = request["hostName"], request["address"]
    auth = authentication.SASTokenAuth(
        audience=f"{host}/{address}", uri=f"amqps://{host}/{address}", token=request["token"], expires_at=request["expires"],
        verify=request["caFile"], transport_type=websocket(request))
    messages = [
        uamqp.Message(
            message["body"].encode("utf-8"),
            properties=uamqp.message.MessageProperties(message_id=message["id"], content_type="application/json", content_encoding="utf-8"),
            application_properties=message["properties"])
        for message in request["messages"]]
    client = uamqp.SendClient(
        f"amqps://{host}/{address}/messages/events", auth=auth, max_frame_size=4294967295, channel_max=65535, idle_timeout=240000,
        incoming_window=4294967295, outgoing_window=100, link_properties={uamqp.types.AMQPSymbol("com.microsoft:client-version"): "iothubclient/1.15.0"})
    client.queue_message(uamqp.BatchMessage(data=messages))
    return send(client)


def command(request):
    """A command as azure-iot-hub 2.6.0 sends it (iothub_amqp_client.py)."""
    host = request["hostName"]
    auth = authentication.JWTTokenAuth(
        audience=f"https://{host}", uri=f"https://{host}", token_type=b"servicebus.windows.net:sastoken",
        get_token=lambda: AccessToken(request["token"], request["expires"]), verify=request["caFile"],
        transport_type=websocket(request))
    auth.update_token()
    client = uamqp.SendClient(f"amqps://{host}/messages/devicebound", auth=auth, keep_alive_interval=120)
    message = uamqp.Message(b"{}", properties=uamqp.message.MessageProperties(to=f"/devices/{request['deviceId']}/messages/devicebound"))
    client.queue_message(message)
    return send(client)


def monitor(request):
    """What `az iot hub monitor-events` (azure-cli extension azure-iot 0.25.0) does with uAMQP: redirect, partitions, then one of them from a time."""
    host, policy, group = request["hostName"], request["policy"], request.get("consumerGroup", "$Default")
    login = authentication.SASLPlain(host, f"{policy}@sas.root.{host.split('.')[0]}", request["token"], verify=request["caFile"])
    client = uamqp.ReceiveClient(f"amqps://{host}/messages/events/$management", auth=login, prefetch=1)
    try:
        client.receive_message_batch(max_batch_size=1)
        return {"error": "not redirected"}
    except uamqp.errors.LinkRedirect as redirect:
        endpoint, path = text(redirect.hostname), text(redirect.address).replace("amqps://", "").split("/")[1]
    finally:
        client.close()

    def auth():
        return authentication.SASTokenAuth.from_shared_access_key(
            f"sb://{endpoint}/{path}", policy, request["key"], verify=request["caFile"])

    client = uamqp.AMQPClient(f"amqps://{endpoint}/{path}", auth=auth())
    client.open()
    try:
        answer = client.mgmt_request(
            uamqp.Message(application_properties={"name": path}), b"READ", op_type=b"com.microsoft:eventhub", status_code_field=b"status-code",
            description_fields=b"status-description", timeout=30000).get_data()
    finally:
        client.close()

    source = uamqp.address.Source(f"amqps://{endpoint}/{path}/ConsumerGroups/{group}/Partitions/{request['partition']}")
    source.set_filter(f"amqp.annotation.x-opt-enqueuedtimeutc > {request['sinceMs']}".encode("utf-8"))
    client = uamqp.ReceiveClient(source, auth=auth(), prefetch=300, timeout=1000 * request.get("seconds", 30))
    events = []
    try:
        while len(events) < request["count"]:
            batch = client.receive_message_batch(max_batch_size=min(request["count"] - len(events), 300), timeout=1000 * request.get("seconds", 30))
            if not batch:
                break
            events += [{
                "body": b"".join(message.get_data()).decode("utf-8"),
                "properties": {text(k): text(v) for k, v in (message.application_properties or {}).items()},
                "annotations": {text(k): text(v) for k, v in message.annotations.items()},
            } for message in batch]
    finally:
        client.close()
    return {"endpoint": endpoint, "path": path, "partitionCount": answer[b"partition_count"], "partitionIds": [text(p) for p in answer[b"partition_ids"]], "events": events}


def send(client):
    try:
        results = client.send_all_messages()
        return {"sent": [result == constants.MessageState.SendComplete for result in results]}
    except Exception as error:
        return {"error": type(error).__name__, "condition": text(getattr(error, "condition", "")), "message": str(error)}
    finally:
        client.close()


def websocket(request):
    return constants.TransportType.AmqpOverWebsocket if request.get("transport") == "uamqp-ws" else constants.TransportType.Amqp


print(json.dumps({"read": read, "properties": properties, "device": device, "command": command, "monitor": monitor}[sys.argv[1]](json.load(sys.stdin))))
