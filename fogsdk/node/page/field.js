/**
 * One argument of a task as a form field: `<fog-field>`.
 *
 * `read()` gives `{ given, value }`: `given` is false where the task's own default is to be used. It throws a
 * WrongInput, whose words are shown at the field.
 */

import { announce, h, size, uniqueId } from "./dom.js";
import { read as readFile } from "./capture.js";

/** What was typed does not fit the argument. Its message is for people. */
export class WrongInput extends Error {}

const HINTS = {
  int: "whole number",
  float: "number",
  str: "text",
  bool: "yes or no",
  bytes: "photo or file",
  list: "list",
  dict: "names and values, as JSON",
  any: "JSON, or plain text",
};

class FogField extends HTMLElement {
  /** Show the field of a parameter, with `before`, the value it had when the form was last sent, if there is one. */
  show(parameter, before) {
    this.parameter = parameter;
    this.control = uniqueId("field");
    const { type } = parameter;
    this.holdsFiles = type.kind === "bytes" || type.item?.kind === "bytes";
    this.errorLine = h("p", { class: "error", id: `${this.control}-error`, hidden: true });
    const hint = h("p", { class: "hint", id: `${this.control}-hint` }, this.hint());
    const start = before === undefined ? parameter.fallback : before;
    const control = { bool: "toggle", choice: "choice" }[type.kind] ?? (this.holdsFiles ? "file" : "text");
    this.classList.add(control);
    this.replaceChildren(this.label(), hint, this[control](start), this.errorLine);
    return this;
  }

  label() {
    const { name, spread } = this.parameter;
    const group = this.parameter.type.kind === "choice" && this.chips();
    const properties = { class: "label", id: `${this.control}-label`, for: group ? null : this.control };
    return h(group ? "span" : "label", properties, spread ? `${spread}${name}` : name);
  }

  hint() {
    const { type, spread, written } = this.parameter;
    if (spread === "*") return "further arguments: one in each line, or a JSON list";
    if (spread === "**") return "further arguments by name, as JSON";
    const item = type.item && HINTS[type.item.kind];
    const several =
      type.item?.kind === "bytes"
        ? "photos or files"
        : `list of ${{ int: "whole numbers", float: "numbers", str: "texts" }[type.item?.kind] ?? "values"}`;
    const words = type.kind === "list" && item ? several : HINTS[type.kind];
    if (type.kind === "choice") return "";
    if (written !== null && type.kind !== "bool")
      return `${words}; ${written.length > 40 ? "its default" : written} if empty`;
    return type.none ? `${words}; may stay empty` : words;
  }

  describedBy() {
    return `${this.control}-hint ${this.control}-error`;
  }

  // ------------------------------------------------------------ the kinds of control

  text(start) {
    const { type } = this.parameter;
    const number = type.kind === "int" || type.kind === "float";
    const properties = {
      id: this.control,
      name: this.parameter.name,
      "aria-describedby": this.describedBy(),
      autocomplete: "off",
      autocapitalize: "off",
      spellcheck: type.kind === "str" ? "true" : "false",
    };
    const input = number
      ? h("input", { ...properties, type: "text", inputmode: this.mayBeNegative() ? "text" : "decimal" })
      : h("textarea", { ...properties, rows: ["list", "dict"].includes(type.kind) ? 2 : 1 });
    if (start !== undefined && start !== null) input.value = written(start, type);
    input.addEventListener("input", () => this.clear());
    this.input = input;
    return input;
  }

  mayBeNegative() {
    const { fallback } = this.parameter; // the decimal keys of an iPhone have no minus sign
    return fallback === undefined || fallback === null || fallback < 0;
  }

  toggle(start) {
    this.input = h("input", {
      type: "checkbox",
      role: "switch",
      id: this.control,
      "aria-describedby": this.describedBy(),
    });
    this.input.checked = start === true;
    return this.input;
  }

  chips() {
    return this.parameter.type.options.length <= 5;
  }

  choice(start) {
    const { type, name } = this.parameter;
    const names = type.none ? [...type.options, null] : type.options;
    const chosen = Math.max(0, names.indexOf(start));
    this.names = names;
    if (!this.chips()) {
      const options = names.map((option, index) =>
        h("option", { value: index, selected: index === chosen }, shown(option)),
      );
      this.input = h("select", { id: this.control, "aria-describedby": this.describedBy() }, options);
      return this.input;
    }
    const group = `${this.control}-${name}`;
    const chips = names.map((option, index) =>
      h(
        "label",
        { class: "chip" },
        h("input", { type: "radio", name: group, value: index, checked: index === chosen }),
        h("span", null, shown(option)),
      ),
    );
    const labelled = {
      role: "radiogroup",
      class: "chips",
      "aria-labelledby": `${this.control}-label`,
      "aria-describedby": this.describedBy(),
    };
    this.group = h("div", labelled, chips);
    return this.group;
  }

  file(start) {
    const many = this.parameter.type.kind === "list";
    this.files = start === undefined || start === null ? [] : [start].flat();
    this.chosen = h("ul", { class: "files" });
    const properties = {
      type: "file",
      class: "visually-hidden",
      "aria-describedby": this.describedBy(),
      change: (event) => this.take(event.target),
    };
    this.input = h("input", { ...properties, id: this.control, multiple: many });
    const photo = h("input", { ...properties, id: `${this.control}-photo`, accept: "image/*", capture: "environment" });
    const named = (text) =>
      h("span", null, text, h("span", { class: "visually-hidden" }, ` for ${this.parameter.name}`));
    const buttons = h(
      "div",
      { class: "buttons" },
      photo,
      h("label", { class: "button photo", for: photo.id }, named("Take a photo")),
      this.input,
      h("label", { class: "button", for: this.input.id }, named(many ? "Choose files" : "Choose a file")),
    );
    this.list();
    return h("div", { class: "drop" }, buttons, this.chosen);
  }

  async take(input) {
    const many = this.parameter.type.kind === "list";
    this.clear();
    this.pending = (async () => {
      try {
        const read = await Promise.all([...input.files].map(readFile));
        input.value = ""; // the same file may be chosen again
        if (!read.length) return;
        this.files = many ? [...this.files, ...read] : read;
        this.list();
        announce(`${read.map((file) => file.name).join(", ")} chosen`);
      } catch (error) {
        this.complain(error.message);
      }
    })();
    await this.pending;
  }

  list() {
    this.urls?.forEach((url) => URL.revokeObjectURL(url));
    this.urls = [];
    this.chosen.replaceChildren(
      ...this.files.map((file, index) => {
        const remove = () => {
          this.files = this.files.filter((_, at) => at !== index);
          this.list();
          this.input.focus();
        };
        const details = h(
          "span",
          { class: "about" },
          file.name,
          h("small", null, [size(file.bytes.length), file.scaled].filter(Boolean).join(", ")),
        );
        return h(
          "li",
          null,
          this.preview(file),
          details,
          h("button", { type: "button", class: "quiet", click: remove, "aria-label": `Remove ${file.name}` }, "Remove"),
        );
      }),
    );
  }

  preview(file) {
    if (!file.type.startsWith("image/")) return h("span", { class: "thumb", "aria-hidden": "true" }, "01");
    const url = URL.createObjectURL(new Blob([file.bytes], { type: file.type }));
    this.urls.push(url);
    return h("img", { class: "thumb", src: url, alt: "" });
  }

  disconnectedCallback() {
    this.urls?.forEach((url) => URL.revokeObjectURL(url));
  }

  // ------------------------------------------------------------ what was put in

  /** Set what the field holds, as by hand. */
  set(value) {
    this.input.value = written(value, this.parameter.type);
    this.clear();
  }

  async read() {
    await this.pending;
    const { type, written: byDefault } = this.parameter;
    const value = this.holdsFiles ? this.readFiles() : this.readValue();
    if (value === undefined) {
      if (byDefault !== null || this.parameter.spread) return { given: false };
      if (type.none) return { given: true, value: null };
      throw new WrongInput(this.holdsFiles ? "Take a photo or choose a file." : "This is needed.");
    }
    return { given: byDefault === null || !same(value, this.parameter.fallback), value };
  }

  readFiles() {
    const values = this.files.map((file) => file.bytes);
    if (!values.length) return undefined;
    return this.parameter.type.kind === "list" ? values : values[0];
  }

  readValue() {
    const { type, written: byDefault } = this.parameter;
    if (type.kind === "bool") return this.input.checked;
    if (type.kind === "choice")
      return this.names[Number(this.group?.querySelector(":checked").value ?? this.input.value)];
    if (type.kind === "str") return this.input.value || (byDefault !== null && !type.none ? "" : undefined);
    const text = this.input.value.trim();
    return text ? valueOf(text, type) : undefined;
  }

  /** What to put into the field again, so that it holds what it holds now. */
  kept() {
    const { type } = this.parameter;
    if (this.holdsFiles) return this.files;
    if (type.kind === "bool" || type.kind === "choice") return this.readValue();
    return new Raw(this.input.value);
  }

  /** Say at the field what is wrong with it. */
  complain(words) {
    this.errorLine.textContent = words;
    this.errorLine.hidden = false;
    (this.group ?? this.input).setAttribute("aria-invalid", "true");
  }

  /** Take that back. */
  clear() {
    this.errorLine.hidden = true;
    this.errorLine.textContent = "";
    (this.group ?? this.input)?.removeAttribute("aria-invalid");
  }

  /** Put the focus where something can be done about it. */
  focus() {
    (this.group?.querySelector("input") ?? this.input).focus();
  }
}

/** What a person had typed, as it was. */
class Raw {
  constructor(text) {
    this.text = text;
  }
}

function shown(option) {
  return option === null ? "none" : String(option);
}

function written(value, type) {
  if (value instanceof Raw) return value.text;
  if (type.kind === "str" && typeof value === "string") return value;
  if (type.kind === "list" && Array.isArray(value) && value.every((each) => typeof each === "number"))
    return value.join(", ");
  return typeof value === "object"
    ? JSON.stringify(value instanceof Map ? Object.fromEntries(value) : value)
    : String(value);
}

function same(value, other) {
  return (
    value === other || (other !== undefined && typeof value === "object" && comparable(value) === comparable(other))
  );
}

function comparable(value) {
  return JSON.stringify(value, (_, each) =>
    each instanceof Map ? Object.fromEntries(each) : typeof each === "bigint" ? String(each) : each,
  );
}

/** A value from what was typed. Throws WrongInput. */
export function valueOf(text, type) {
  switch (type?.kind) {
    case "int":
      if (!/^[+-]?\d+$/.test(text)) throw new WrongInput(`A whole number is needed, such as 3, not ${quoted(text)}.`);
      return Number.isSafeInteger(Number(text)) ? Number(text) : BigInt(text.replace("+", ""));
    case "float":
      if (!/^[+-]?(\d+[.,]?\d*|[.,]\d+)(e[+-]?\d+)?$/i.test(text))
        throw new WrongInput(`A number is needed, such as 2.5, not ${quoted(text)}.`);
      return Number(text.replace(",", "."));
    case "str":
      return text;
    case "list":
      return listOf(text, type.item);
    case "dict":
      return dictOf(text);
    default:
      return anyOf(text);
  }
}

function listOf(text, item) {
  if (text.startsWith("[")) {
    const items = json(text, "A JSON list is needed, such as [1, 2, 3]");
    return items.map((each) => fitting(each, item));
  }
  const simple = ["int", "float", "str"].includes(item?.kind);
  const parts = text.split(simple && item.kind !== "str" ? /[\s,;]+/ : /\n/).filter((part) => part.trim());
  return parts.map((part) => valueOf(part.trim(), simple ? item : undefined));
}

function fitting(value, item) {
  const wrong =
    item?.kind === "int"
      ? !Number.isInteger(value)
      : item?.kind === "float"
        ? typeof value !== "number"
        : item?.kind === "str" && typeof value !== "string";
  if (wrong && !(item.none && value === null))
    throw new WrongInput(`${quoted(JSON.stringify(value))} in the list is no ${HINTS[item.kind]}.`);
  return value;
}

function dictOf(text) {
  const value = json(text, 'A JSON object is needed, such as {"name": 1}');
  if (typeof value !== "object" || value === null || Array.isArray(value))
    throw new WrongInput('A JSON object is needed, such as {"name": 1}.');
  return new Map(Object.entries(value));
}

function anyOf(text) {
  if (/^[[{"]/.test(text)) return json(text, "This begins like JSON, but is none");
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

function json(text, words) {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new WrongInput(`${words}. (${error.message})`);
  }
}

function quoted(text) {
  return `“${text.length > 30 ? `${text.slice(0, 30)}…` : text}”`;
}

customElements.define("fog-field", FogField);
