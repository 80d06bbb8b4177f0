"""A small ingest that tests kill: `python server.py PORT FILE`. Accepted events are in the file before it responds.

It fulfils the contract, including deduplication by id. It sometimes breaks the connection after writing, like a server
that is killed between COMMIT and response.
"""

import gzip
import json
import os
import random
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock

LOCK = Lock()


class Ingest(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        with LOCK:
            results = store(json.loads(body))
        if random.random() < 0.2:
            self.close_connection = True
            return  # stored, but the client gets no response
        answer = json.dumps({"results": results}).encode()
        self.send_response(202)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_: object) -> None:
        pass


def store(events: list[dict]) -> list[dict]:
    with open(sys.argv[2], "a+") as file:
        file.seek(0)
        known = {json.loads(line)["event_id"] for line in file if line.endswith("\n")}
        new = [event for event in events if event["event_id"] not in known]
        file.write("".join(json.dumps(event) + "\n" for event in new))
        file.flush()
        os.fsync(file.fileno())
    status = {event["event_id"]: "accepted" for event in new}
    return [{"event_id": e["event_id"], "status": status.get(e["event_id"], "duplicate")} for e in events]


if __name__ == "__main__":
    ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Ingest).serve_forever()
