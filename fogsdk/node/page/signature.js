/**
 * A task's signature, read from its text: `(image: bytes, size: int = 3) -> bytes` becomes parameters with a kind each.
 *
 * The text is what Python's `str(inspect.signature(...))` gives, made by whoever wrote the task. What is not
 * understood becomes a parameter of kind `any`; a text that is no signature at all gives `null`.
 *
 * Kinds: int, float, str, bool, bytes, list, dict, choice (of `options`), any. A list knows the type of its `item`.
 */

const KINDS = {
  int: "int",
  float: "float",
  complex: "any",
  str: "str",
  bool: "bool",
  dict: "dict",
  Mapping: "dict",
  bytes: "bytes",
  bytearray: "bytes",
  memoryview: "bytes",
  Buffer: "bytes",
  list: "list",
  tuple: "list",
  set: "list",
  frozenset: "list",
  Sequence: "list",
  Iterable: "list",
  Collection: "list",
  ArrayLike: "list",
  NDArray: "list",
  ndarray: "list",
};

/** Returns `{ parameters, returns }`, or null where the text is no signature. */
export function parse(text) {
  const inner = bracketed(text.trim());
  if (inner === null) return null;
  const rest = text
    .trim()
    .slice(inner.length + 2)
    .trim();
  const parameters = [];
  let keyword = false;
  for (const part of split(inner, ",")) {
    if (part === "*") keyword = true;
    else if (part === "/") continue;
    else {
      const parameter = readParameter(part, keyword);
      if (parameter === null) return null;
      keyword ||= parameter.spread === "*";
      parameters.push(parameter);
    }
  }
  return { parameters, returns: rest.startsWith("->") ? readType(rest.slice(2)) : null };
}

/** What stands between the first bracket and the one that closes it. */
function bracketed(text) {
  if (!text.startsWith("(")) return null;
  for (const [at, depth] of depths(text)) {
    if (depth === 0) return text.slice(1, at);
  }
  return null;
}

/** The place of each character outside of quotes, with how many brackets are open after it. */
function* depths(text) {
  let depth = 0;
  let quote = "";
  for (let at = 0; at < text.length; at += 1) {
    const letter = text[at];
    if (quote) {
      if (letter === "\\") at += 1;
      else if (letter === quote) quote = "";
      continue;
    }
    if (letter === "'" || letter === '"') quote = letter;
    else if ("([{".includes(letter)) depth += 1;
    else if (")]}".includes(letter)) depth -= 1;
    yield [at, depth];
  }
}

/** Cut at a separator that is in no bracket and no quotes. */
function split(text, separator) {
  const parts = [];
  let from = 0;
  for (const [at, depth] of depths(text)) {
    if (depth === 0 && text[at] === separator) {
      parts.push(text.slice(from, at));
      from = at + 1;
    }
  }
  return [...parts, text.slice(from)].map((part) => part.trim()).filter((part) => part);
}

function readParameter(text, keyword) {
  const found = /^(\*{0,2})([\p{L}_][\p{L}\p{N}_]*)\s*/u.exec(text);
  if (!found) return null;
  const [whole, spread, name] = found;
  const [declared, written] = atDefault(text.slice(whole.length));
  if (declared && !declared.startsWith(":")) return null;
  const parameter = { name, spread, keyword: keyword || spread === "**", written, fallback: undefined };
  parameter.type = declared ? readType(declared.slice(1)) : any("");
  if (spread) parameter.type = { kind: spread === "*" ? "list" : "dict", none: false, item: parameter.type, text: "" };
  if (written !== null) parameter.fallback = readLiteral(written);
  return parameter;
}

function atDefault(text) {
  for (const [at, depth] of depths(text)) {
    if (depth === 0 && text[at] === "=") return [text.slice(0, at).trim(), text.slice(at + 1).trim()];
  }
  return [text.trim(), null];
}

function any(text) {
  return { kind: "any", none: false, text };
}

/** A type from its text. `none` says that None is allowed too. */
function readType(source) {
  const text = unquoted(source.trim());
  const choices = split(text, "|");
  if (choices.length > 1) return union(choices, text);
  const [, path, inside] = /^([\w.]+)(?:\[(.*)\])?$/s.exec(text) ?? [];
  const name = (path ?? "").split(".").pop();
  const items = inside === undefined ? [] : split(inside, ",");
  if (name === "None" || name === "NoneType") return { kind: "none", none: true, text };
  if (name === "Optional" && items.length === 1) return { ...readType(items[0]), none: true, text };
  if (name === "Union") return union(items, text);
  if (name === "Annotated" && items.length) return readType(items[0]);
  if (name === "Literal") return literal(items, text);
  const kind = Object.hasOwn(KINDS, name) ? KINDS[name] : "any";
  return { kind, none: false, text, item: kind === "list" && items.length ? readType(items[0]) : undefined };
}

function union(choices, text) {
  const types = choices.map(readType);
  const some = types.filter((type) => type.kind !== "none");
  const none = types.some((type) => type.none);
  if (some.length === 1) return { ...some[0], none, text };
  const kinds = new Set(some.map((type) => type.kind));
  if (kinds.size === 1 || (kinds.size === 2 && kinds.has("int") && kinds.has("float"))) {
    return { ...some[0], kind: kinds.size === 2 ? "float" : some[0].kind, none, text };
  }
  return { kind: "any", none, text };
}

function literal(items, text) {
  const options = items.map(readLiteral);
  if (!options.length || options.includes(undefined)) return any(text);
  return {
    kind: "choice",
    none: false,
    text,
    options: options.filter((option) => option !== null),
    ...(options.includes(null) && { none: true }),
  };
}

function unquoted(text) {
  return /^(['"]).*\1$/s.test(text) ? text.slice(1, -1) : text;
}

/** A Python literal as a value, undefined where it is something else. */
export function readLiteral(text) {
  const names = { None: null, True: true, False: false };
  if (Object.hasOwn(names, text)) return names[text];
  if (/^-?\d+$/.test(text)) return Number.isSafeInteger(Number(text)) ? Number(text) : BigInt(text);
  if (/^-?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i.test(text)) return Number(text);
  if (/^(['"]).*\1$/s.test(text)) return readText(text);
  if (/^[[(].*[\])]$/s.test(text)) return readItems(text.slice(1, -1));
  if (/^\{.*\}$/s.test(text)) return readEntries(text.slice(1, -1));
  return undefined;
}

function readText(text) {
  const escapes = { n: "\n", t: "\t", r: "\r", "\\": "\\", "'": "'", '"': '"' };
  return text.slice(1, -1).replace(/\\(x[0-9a-f]{2}|u[0-9a-f]{4}|.)/gis, (whole, code) => {
    if (code.length > 1) return String.fromCharCode(parseInt(code.slice(1), 16));
    return escapes[code] ?? whole;
  });
}

function readItems(text) {
  const items = split(text, ",").map(readLiteral);
  return items.includes(undefined) ? undefined : items;
}

function readEntries(text) {
  const entries = split(text, ",").map((entry) => split(entry, ":").map(readLiteral));
  const plain = entries.every((entry) => entry.length === 2 && typeof entry[0] === "string" && entry[1] !== undefined);
  return plain ? new Map(entries) : undefined;
}
