/**
 * The node's HTTP, as the page speaks it: requests, streams of events, tokens.
 *
 * A node that cannot be reached raises Unreachable; whoever asked tries again. A node that wants a token has the person
 * asked for one, and the request is sent again with it.
 */

import { decode } from "./cbor.js";

/** The node did not answer, or no longer. */
export class Unreachable extends Error {}

/** The person was asked for a token and gave none. */
export class NoToken extends Error {}

const TOKEN = "fog-token";
const SENDER = "fog-sender";

/** Asks the person for a token; set by whoever has a dialog for it. Gets the words that the node said, returns a token or null. */
export const login = { ask: async () => null };

let asking = null;

/** Take a token over, for as long as this tab lives. */
export function useToken(token) {
  sessionStorage.setItem(TOKEN, token);
}

/** An id that the node has for this tab where no token names it: lower case letters, digits and dashes. */
function sender() {
  if (!sessionStorage.getItem(SENDER)) sessionStorage.setItem(SENDER, `page-${randomId()}`);
  return sessionStorage.getItem(SENDER);
}

/** 96 random bits in hex. Pages that came over http have no crypto.randomUUID. */
export function randomId() {
  return [...crypto.getRandomValues(new Uint8Array(12))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

/**
 * Send a request. Options: `method`, `accept`, `body` (CBOR), `prefer`, `signal`.
 * Raises Unreachable, or NoToken.
 */
export async function send(path, options = {}) {
  for (;;) {
    const token = sessionStorage.getItem(TOKEN);
    const response = await attempt(path, options, token);
    if (response.status !== 401) return response;
    if (token === sessionStorage.getItem(TOKEN))
      await askForToken(token === null ? "" : "This node does not know that token.");
  }
}

async function attempt(path, { method = "GET", accept = "application/json", body, prefer, signal }, token) {
  const headers = { Accept: accept };
  if (token === null) headers["Fog-Sender"] = sender();
  else headers.Authorization = `Bearer ${token}`;
  if (body) headers["Content-Type"] = "application/cbor";
  if (prefer) headers.Prefer = prefer;
  try {
    return await fetch(path, {
      method,
      headers,
      body,
      signal,
      cache: "no-store",
      credentials: "omit",
      redirect: "error",
    });
  } catch (error) {
    throw new Unreachable(error.message);
  }
}

function askForToken(words) {
  asking ??= login.ask(words).finally(() => {
    asking = null;
  });
  return asking.then((token) => {
    if (token === null) throw new NoToken("a token is needed");
    useToken(token);
  });
}

/** What a path gives, as JSON; null where there is nothing. Raises Unreachable, or NoToken. */
export async function read(path) {
  const response = await send(path);
  try {
    return response.ok ? await response.json() : null;
  } catch (error) {
    throw new Unreachable(error.message);
  }
}

/** The body of a response in CBOR, as bytes and decoded. Raises Unreachable where it breaks off, else what decode does. */
export async function unpack(response) {
  const buffer = await response.arrayBuffer().catch((error) => {
    throw new Unreachable(error.message);
  });
  const bytes = new Uint8Array(buffer);
  return { bytes, value: bytes.length ? decode(bytes) : null };
}

/**
 * Follow a stream of events (server-sent events), with `hear(name, data)` for each. Ends with the stream, or where
 * `hear` returns true. `patience` are the milliseconds of silence, comments included, after which it counts as broken.
 * Raises Unreachable where it breaks, NoToken, and returns the response where there is no stream.
 */
export async function follow(path, { signal, patience, hear }) {
  const ended = new AbortController();
  const end = () => ended.abort();
  signal?.addEventListener("abort", end);
  let timer = setTimeout(end, patience);
  try {
    const response = await send(path, { accept: "text/event-stream", signal: ended.signal });
    if (!response.headers.get("Content-Type")?.startsWith("text/event-stream")) return response;
    const reader = response.body.getReader();
    const lines = new Lines(hear);
    for (;;) {
      const { done, value } = await reader.read();
      clearTimeout(timer);
      timer = setTimeout(end, patience);
      if (done) throw new Unreachable("the stream ended");
      if (lines.feed(value)) return null;
    }
  } catch (error) {
    throw error instanceof NoToken ? error : new Unreachable(error.message);
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener("abort", end);
    end();
  }
}

/** Cuts a stream into events. Those that end a task are told by their name at once: their data is not waited for. */
class Lines {
  constructor(hear) {
    this.hear = hear;
    this.decoder = new TextDecoder();
    this.rest = "";
    this.name = "";
  }

  feed(bytes) {
    const lines = (this.rest + this.decoder.decode(bytes, { stream: true })).split("\n");
    this.rest = lines.pop();
    return lines.some((line) => this.line(line));
  }

  line(line) {
    if (line.startsWith("event: ")) {
      this.name = line.slice(7);
      return OUTCOMES.has(this.name) && this.hear(this.name, null);
    }
    return line.startsWith("data: ") && this.hear(this.name, JSON.parse(line.slice(6)));
  }
}

const OUTCOMES = new Set(["result", "failed", "refused", "deadline-exceeded", "cancelled"]);
