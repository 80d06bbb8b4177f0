/** The main flows by the generated TypeScript client: `node flows.js URL`. Checked by tsc, and then run. */
import createClient from "openapi-fetch";

import type { paths } from "./schema.js";

declare const process: { argv: string[] };

const baseUrl = process.argv[2] ?? "";
const unique = `typescript ${Date.now()}`;

function present<Value>(found: { data?: Value; error?: unknown }): Value {
  if (found.data === undefined) throw new Error(JSON.stringify(found.error));
  return found.data;
}

const anonymous = createClient<paths>({ baseUrl });
const { token } = present(await anonymous.POST("/auth/token", { body: { username: "admin", password: "12345" } }));
const api = createClient<paths>({ baseUrl, headers: { Authorization: `Token ${token}` } });

// projects
const project = present(await api.POST("/projects", { body: { name: unique } }));
const task = present(await api.POST("/tasks", { body: { project: project.id, title: "Paint the door", due_date: null } }));
const path = { id: task.id };
const done = present(await api.PATCH("/tasks/{id}", { params: { path }, body: { status: "completed" } }));
if (done.status !== "completed" || done.completed_at === null) throw new Error("The task is not completed.");
present(await api.POST("/tasks/{task_id}/comments", { params: { path: { task_id: task.id } }, body: { content: "Done." } }));
const wrong = await api.POST("/tasks", { body: { project: project.id, title: "", due_date: null } });
if (wrong.error?.status !== 400) throw new Error("A task without a title was created.");

// chats
const user_uuid = crypto.randomUUID();
present(await api.POST("/chats", { body: { user_uuid } }));
const params = { path: { user_uuid } };
present(await api.POST("/chats/{user_uuid}/messages", { params, body: { text: "Your parcel has arrived." } }));
const messages = present(await api.GET("/chats/{user_uuid}/messages", { params }));
if (messages.results[0]?.text !== "Your parcel has arrived.") throw new Error("The message is not in the chat.");
present(await api.POST("/broadcasts", { body: { text: "For you", audience: [user_uuid] } }));

// events
const shop = present(await api.POST("/applications", { body: { name: unique } }));
const sender = createClient<paths>({ baseUrl, headers: { Authorization: `Bearer ${shop.write_key}` } });
const event = { session_id: "s-1", category: "generated", name: unique, data: {}, timestamp: new Date().toISOString() };
const answer = present(await sender.POST("/events", { body: [event, event] }));
if (answer.accepted !== 2) throw new Error("The events were not accepted.");
const stored = present(await api.GET("/events", { params: { query: { name: unique } } }));
if (stored.results.length !== 2) throw new Error("The events are not in the list.");

// test runs
const environments = present(await api.GET("/environments"));
const form = new FormData();
form.set("file", new Blob(["def test_one(): assert True\n"]), `test_${Date.now()}.py`);
form.set("directory", "typescript");
const uploaded = present(
  await api.POST("/test-files", { body: { file: "", directory: "typescript" }, bodySerializer: () => form }),
);
const environment = environments.results[0]?.id ?? 1;
const run = present(await api.POST("/test-runs", { body: { environment, files: [uploaded.id] } }));
present(await api.GET("/test-runs/{id}", { params: { path: { id: run.id } } }));

const ended = await api.DELETE("/auth/token");
if (!ended.response.ok) throw new Error("The token could not be deleted.");
console.log("The TypeScript client works.");
