"""What an application does with pymemcache, as Debian has it, told as JSON. Arguments: a port."""

import json
import sys

from pymemcache.client.base import Client, PooledClient
from pymemcache.exceptions import MemcacheClientError, MemcacheServerError
from pymemcache.serde import pickle_serde

server = ("127.0.0.1", int(sys.argv[1]))
client = Client(server, timeout=20, connect_timeout=20)
seen = {}

many = {f"many-{n}": f"value {n}".encode() for n in range(2000)}
seen["set_many failed"] = client.set_many(many, noreply=False)
seen["get_many"] = client.get_many(list(many)) == many
seen["set_many noreply"] = client.set_many({"quiet": b"1"}, noreply=True)
seen["get quiet"] = client.get("quiet").decode()
seen["delete_many"] = client.delete_many(list(many)[:1000], noreply=False)
seen["left"] = len(client.get_many(list(many)))

seen["add"] = [client.add("a", b"1", noreply=False), client.add("a", b"2", noreply=False)]
seen["replace"] = [client.replace("a", b"3", noreply=False), client.replace("no", b"", noreply=False)]
client.append("a", b"4", noreply=False)
client.prepend("a", b"2", noreply=False)
seen["appended"] = client.get("a").decode()
value, cas = client.gets("a")
seen["cas"] = [
    client.cas("a", b"new", cas, noreply=False),
    client.cas("a", b"newer", cas, noreply=False),
    client.cas("no", b"x", cas, noreply=False),
]
seen["gets_many"] = sorted(client.gets_many(["a", "quiet", "no"]))
client.set("n", b"10", noreply=False)
seen["count"] = [client.incr("n", 5), client.decr("n", 100), client.incr("no", 1)]
seen["touch"] = [client.touch("n", 100, noreply=False), client.touch("no", 100, noreply=False)]
seen["delete"] = [client.delete("n", noreply=False), client.delete("n", noreply=False)]
client.set("short", b"x", expire=1, noreply=False)
client.set("over", b"x", expire=-1, noreply=False)
seen["expired"] = [client.get("short") is not None, client.get("over")]

large = bytes(range(256)) * 4 * 1024
seen["large"] = [client.set("large", large, noreply=False), client.get("large") == large]
try:
    client.set("too large", b"x", noreply=False)
except MemcacheClientError:
    seen["bad key"] = True
try:
    client.set("huge", b"x" * (17 * 1024 * 1024), noreply=False)
except MemcacheServerError as error:
    seen["too large"] = str(error)
seen["after errors"] = client.get("a").decode()

objects = PooledClient(server, serde=pickle_serde, max_pool_size=4, timeout=20)
objects.set("object", {"list": [1, 2, 3], "text": "grüße"})
seen["object"] = objects.get("object")
words = Client(server, allow_unicode_keys=True, timeout=20)
words.set("schlüssel", "wert", noreply=False)
seen["unicode key"] = words.get("schlüssel").decode()

seen["version"] = client.version().decode()
stats = client.stats()
seen["stats"] = [stats[b"curr_items"], stats[b"cmd_flush"]]
seen["flush"] = client.flush_all(noreply=False)
seen["after flush"] = len(client.get_many(["a", "large", "object", *many]))
client.quit()
print(json.dumps(seen))
