// Rejects: corrected or dismissed below their row, one after the other.
import { clearProblem, errorsOf, find, send, showProblem, toast } from "./console.js";

const WHOLE = /^-?(0|[1-9][0-9]*)$/;
const table = find(".rejects");

table?.addEventListener("click", ({ target }) => {
  const button = target.closest("button");
  if (!button) return;
  if (button.dataset.open) open(button.closest("tr"), button.dataset.open);
  if ("skip" in button.dataset) next(rowOf(button));
  if ("close" in button.dataset) close();
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

const rowOf = (element) => find(`#${element.closest(".editor").dataset.of}`);

/** Show a form below the row of its reject, and go to what is wrong. */
function open(row, kind) {
  close();
  let template = row.nextElementSibling;
  while (template.dataset.form !== kind) template = template.nextElementSibling;
  const editor = template.content.firstElementChild.cloneNode(true);
  editor.dataset.of = row.id;
  row.after(editor);
  (editor.querySelector("[aria-invalid]") ?? editor.querySelector("input, textarea")).focus();
}

/** Close the form, and go back to the button that opened it. */
function close() {
  const editor = find(".editor");
  if (!editor) return;
  rowOf(editor).querySelector("button").focus();
  editor.remove();
}

/** Open the next reject that can be corrected; without one, the rest of the list. */
function next(row) {
  const rows = [...table.querySelectorAll("tr[data-reject]")];
  const following = rows.slice(rows.indexOf(row) + 1).find((one) => one.querySelector("[data-open=correction]"));
  if (following) open(following, "correction");
  else close();
}

/** Take away the row of a reject that is closed. */
function leave(row, text) {
  toast(text);
  next(row);
  const editor = find(".editor");
  if (editor?.dataset.of === row.id) editor.remove();
  while (row.nextElementSibling?.matches("template")) row.nextElementSibling.remove();
  row.remove();
  if (!table.querySelector("tr[data-reject]")) location.reload();
  else if (!find(".editor")) find(".rejects button").focus();
}

async function submit(form, route, body) {
  const row = rowOf(form);
  const button = form.querySelector("button");
  button.disabled = true;
  const reply = await send("POST", `/rejects/${row.dataset.reject}/${route}`, body, { "Content-Type": "application/json" });
  button.disabled = false;
  if (!reply.ok) tell(form, reply.body);
  return reply.ok ? [row, reply.body] : [];
}

async function correct(form) {
  const [row, outcome] = await submit(form, "correction", form.querySelector("textarea")?.value ?? recordOf(form));
  if (row) leave(row, `Inserted as ${form.dataset.table} ${outcome.id}.`);
}

async function dismiss(form) {
  const [row] = await submit(form, "dismissal", { reason: form.elements.reason.value });
  if (row) leave(row, "Dismissed.");
}

/** Show what is wrong beside the fields, and anything else at the top of the form. */
function tell(form, problem) {
  clearProblem(form);
  const errors = errorsOf(problem);
  const others = errors.filter(({ field }) => !form.elements[field]).map(({ message }) => message);
  const alert = form.querySelector("[role=alert]");
  alert.textContent = errors.length ? others.join(". ") : problem.detail;
  alert.hidden = !alert.textContent;
  if (others.length < errors.length) showProblem({ errors: errors.filter(({ field }) => form.elements[field]) }, form);
}

/** The corrected record as JSON. An empty field is left out; numbers keep all their digits. */
function recordOf(form) {
  const filled = [...form.querySelectorAll("[data-json]")].filter((input) => input.value);
  return `{${filled.map((input) => `${JSON.stringify(input.name)}:${jsonOf(input)}`).join(",")}}`;
}

function jsonOf({ value, dataset }) {
  const plain = dataset.json === "number" ? WHOLE.test(value) : dataset.json === "boolean" && /^(true|false)$/.test(value);
  return plain ? value : JSON.stringify(value);
}
