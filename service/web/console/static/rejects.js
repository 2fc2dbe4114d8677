// Rejects: corrected or dismissed below their row, one after the other, or many by one rule.
import { find, number, send, showProblem, toast, toastNext } from "./console.js";
import { explained, jsonOf, suggestIn } from "./fields.js";

const PAUSE = 400; // milliseconds after the last key, before the dry run of a rule
const NEAR = 10_000; // rejects before this one at which a rule starts: a dry run reads a limited number
const table = find(".rejects");
const rowOf = (element) => find(`#${element.closest(".editor").dataset.of}`);

table?.addEventListener("click", ({ target }) => {
  const button = target.closest("button");
  if (!button) return;
  if (button.dataset.open) open(button.closest("tr"), button.dataset.open);
  if ("skip" in button.dataset) next(rowOf(button));
  if ("close" in button.dataset) close();
  if ("rule" in button.dataset) correctAll(button);
});

table?.addEventListener("keydown", (event) => {
  if (event.key === "Escape") close();
});

table?.addEventListener("submit", (event) => {
  event.preventDefault();
  const form = event.target;
  if (form.dataset.kind === "dismissal") dismiss(form);
  else correct(form);
});

/** Show a form below the row of its reject, and go to what is wrong. */
function open(row, kind) {
  close();
  let template = row.nextElementSibling;
  while (template.dataset.form !== kind) template = template.nextElementSibling;
  const editor = template.content.firstElementChild.cloneNode(true);
  editor.dataset.of = row.id;
  row.after(editor);
  suggestIn(editor);
  (editor.querySelector("[aria-invalid]") ?? editor.querySelector("input, textarea")).focus();
}

/** Close the form, and go back to the buttons of its row. */
function close() {
  const editor = find(".editor");
  if (!editor) return;
  rowOf(editor).querySelector("button").focus();
  editor.remove();
}

/** Open the next reject that can be corrected. */
function next(row) {
  const rows = [...table.querySelectorAll("tr[data-reject]")];
  const following = rows.slice(rows.indexOf(row) + 1).find((one) => one.querySelector("[data-open=correction]"));
  if (following) open(following, "correction");
  else close();
}

/** Remove the row of a closed reject, and go to the next one. */
function leave(row, text) {
  if (table.querySelectorAll("tr[data-reject]").length === 1) {
    toastNext(text);
    location.reload();
    return;
  }
  toast(text);
  next(row);
  while (row.nextElementSibling?.matches("template")) row.nextElementSibling.remove();
  row.remove();
  if (!find(".editor")) table.querySelector("button").focus();
}

async function correct(form) {
  await explained();
  const body = form.querySelector("textarea")?.value ?? recordOf(form);
  const outcome = await submit(form, "correction", body);
  if (outcome) leave(rowOf(form), `Inserted as ${form.dataset.table} ${outcome.id}.`);
}

async function dismiss(form) {
  const reason = JSON.stringify({ reason: form.elements.reason.value });
  if (await submit(form, "dismissal", reason)) leave(rowOf(form), "Dismissed.");
}

async function submit(form, route, body) {
  const button = form.querySelector(".primary");
  button.disabled = true;
  const reply = await post(`/rejects/${rowOf(form).dataset.reject}/${route}`, body);
  button.disabled = false;
  if (reply.ok) return reply.body;
  showProblem(reply.body, form);
  return null;
}

const post = (address, body) => send("POST", address, body, { "Content-Type": "application/json" });

/** The corrected record as JSON. An empty field is left out. */
function recordOf(form) {
  const filled = [...form.querySelectorAll("[data-typed]")].filter((input) => input.value);
  return `{${filled.map((input) => `${JSON.stringify(input.name)}:${jsonOf(input)}`).join(",")}}`;
}

let pause;
table?.addEventListener("input", ({ target }) => {
  clearTimeout(pause);
  if (!isWrong(target)) return;
  target.form.querySelector(".rule").hidden = true; // it has the previous value
  pause = setTimeout(offer, PAUSE, target);
});

// A name that was typed becomes the number of its parent.
table?.addEventListener("change", async ({ target }) => {
  clearTimeout(pause);
  await explained();
  if (isWrong(target)) await offer(target);
});

/** Whether a field had an error when its record was rejected. */
const isWrong = (input) => Boolean(input.closest("[data-code]")?.dataset.code);

/** Offer to correct the other rejects of the file that have the same value. */
async function offer(input) {
  if (!input.isConnected) return; // its reject was closed meanwhile
  const line = input.form.querySelector(".rule");
  const rule = ruleOf(input);
  const first = Math.max(0, rowOf(input).dataset.reject - NEAR);
  const reply = await post("/rejects/corrections?dry_run=true", rule(first));
  if (rule(0) !== ruleOf(input)(0)) return;
  const { matched, corrected, failed, next: more } = reply.body;
  line.hidden = !(corrected > 0 && matched > 1);
  if (line.hidden) return;
  line.querySelector("span").textContent = `${number(matched)}${first || more ? " or more" : ""} rejects of this file have `
    + `the same value here${failed ? `; ${number(failed)} of them have other errors too` : ""}.`;
  Object.assign(line.querySelector("button"), { rule, textContent: "Correct all" });
}

/** The rule that corrects the value of a field as the user did, for the rejects after an id. */
function ruleOf(input) {
  const { table: path, source, origin } = input.form.dataset;
  const { code, sent } = input.parentElement.dataset;
  const place = { table: path, source, origin, field: input.name, code };
  const values = `"from":${sent},"to":${jsonOf(input)}`;
  return (after) => `${JSON.stringify({ ...place, after }).slice(0, -1)},${values}}`;
}

async function correctAll(button) {
  button.disabled = true;
  let corrected = 0, failed = 0, after = 0;
  while (after !== null) {
    const reply = await post("/rejects/corrections", button.rule(after));
    if (!reply.ok) {
      button.disabled = false;
      return showProblem(reply.body, button.form);
    }
    corrected += reply.body.corrected;
    failed += reply.body.failed;
    after = reply.body.next;
  }
  toastNext(`${number(corrected)} rejects were corrected.${failed ? ` ${number(failed)} are still wrong.` : ""}`);
  location.reload();
}

// Enable the buttons: they are disabled in the page, because they need this script.
for (const button of document.querySelectorAll("[data-open]")) button.disabled = false;
