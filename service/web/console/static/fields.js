// Inputs of fields: names of parents are suggested, values become JSON.
import { send } from "./console.js";

const PAUSE_MS = 150;

/** The spellings that a search tries, because upper and lower case count. */
function spellings(text) {
  const lower = text.toLowerCase();
  const begun = (beginnings) => lower.replace(beginnings, (letter) => letter.toUpperCase());
  return new Set([text, lower, text.toUpperCase(), begun(/^\S/u), begun(/(^|\s)\S/gu)]);
}

/** The parents whose names begin with one of these texts. */
async function parentsOf({ dataset }, texts) {
  const address = new URL(dataset.suggestions, location);
  for (const text of texts) address.searchParams.append(dataset.by, text);
  const reply = await send("GET", address);
  return reply.ok ? reply.body.rows : [];
}

/** Offer the parents whose names begin with what is typed. */
async function suggest(input) {
  const { by, gives } = input.dataset;
  const typed = input.value.trim();
  const rows = await parentsOf(input, typed ? spellings(typed) : []);
  if (typed === input.value.trim())
    input.list.replaceChildren(...rows.map((row) =>
      gives === "id" ? new Option(row[by], row.id) : new Option("", row[by])));
}

/** Show the name of the parent with this number. A name becomes the number of its parent. */
async function explain(input) {
  const { parents, by } = input.dataset;
  const note = input.parentElement.querySelector(".note");
  const typed = input.value.trim();
  let id = typed;
  note.textContent = "";
  if (!typed) return;
  if (!/^\d+$/.test(typed)) {
    const named = (await parentsOf(input, [typed])).filter((row) => row[by] === typed);
    if (named.length !== 1) return;
    ({ id } = named[0]);
  }
  const reply = await send("GET", `${parents}?limit=1&id=${id}`);
  if (input.value.trim() !== typed) return; // the user has typed more
  input.value = id;
  note.textContent = reply.ok ? reply.body.rows[0]?.[by] ?? "There is no such row." : "";
}

let explanations = Promise.resolve();

/** Resolves when each name that was typed has become a number. */
export const explained = () => explanations;

/** Suggest parents in the inputs of a form or a page. */
export function suggestIn(root) {
  for (const input of root.querySelectorAll("[data-suggestions]")) {
    let pause;
    const later = () => {
      clearTimeout(pause);
      pause = setTimeout(suggest, PAUSE_MS, input);
    };
    input.addEventListener("focus", later);
    input.addEventListener("input", later);
    if (input.dataset.gives === "id")
      input.addEventListener("change", () => {
        explanations = Promise.all([explanations, explain(input)]);
      });
  }
}

/** A value in JSON. Numbers are as they are typed, because they may have more digits than a float. */
export function jsonOf({ value, dataset }) {
  if (!value && "optional" in dataset) return "null";
  const bare = { number: /^(0|-?[1-9]\d*)$/, boolean: /^(true|false)$/ }[dataset.typed];
  return bare?.test(value) ? value : JSON.stringify(value);
}
