// What the scripts of all pages share: requests, errors beside fields, toasts, questions.
export const find = (selector) => document.querySelector(selector);

export const number = (value) => value.toLocaleString("en");

const NO_ANSWER = "The service does not answer. Check that it is running, then try again.";

/**
 * Send a request: an object as JSON, a text as it is.
 * The reply is {ok, status, body}. If ok is false, the body is a problem for showProblem.
 */
export async function send(method, address, body, headers = {}) {
  const plain = body?.constructor === Object;
  const json = plain ? { "Content-Type": "application/json" } : {};
  try {
    const reply = await fetch(address, {
      method, body: plain ? JSON.stringify(body) : body,
      headers: { Accept: "application/json", ...json, ...headers },
    });
    return { ok: reply.ok, status: reply.status, body: await bodyOf(reply) };
  } catch {
    return { ok: false, status: 0, body: { detail: NO_ANSWER } };
  }
}

async function bodyOf(reply) {
  const text = await reply.text();
  if (reply.headers.get("Content-Type")?.includes("json")) return JSON.parse(text);
  return reply.ok ? text : { detail: `The service answered with status ${reply.status}. Try again.` };
}

/** Show an error at the top of a form if it has a place for it, else of the page. */
export function showError(text, form) {
  const place = form?.querySelector("[role=alert]") ?? find("#trouble");
  place.textContent = text;
  place.hidden = !text;
  if (text) place.scrollIntoView({ block: "nearest" });
}

/** The errors of a problem as [{field, message}], of the row or of the parameters. */
function errorsOf(problem) {
  const errors = [...problem.errors ?? [], ...problem.failures?.[0]?.errors ?? []];
  return errors.map(({ field, key, message }) => ({ field: field ?? key, message }));
}

/** Show each error of a problem below its field in the form, and the others at the top. */
export function showProblem(problem, form) {
  clearProblem(form);
  const others = errorsOf(problem).filter((error) => !showBeside(form, error));
  const beside = form?.querySelector("[aria-invalid]");
  if (others.length) showError(others.map(({ message }) => message.replace(/\.?$/, ".")).join(" "), form);
  else if (!beside) showError(problem.detail, form);
  beside?.focus();
}

export function clearProblem(form) {
  showError("", form);
  for (const field of form?.querySelectorAll("[aria-invalid]") ?? []) {
    field.removeAttribute("aria-invalid");
    field.removeAttribute("aria-describedby");
  }
  form?.querySelectorAll(".error").forEach((text) => text.remove());
}

function showBeside(form, { field, message }) {
  const input = form?.elements[field];
  if (!(input instanceof HTMLElement)) return false;
  const text = document.createElement("span");
  Object.assign(text, { className: "error", id: `error-${field}`, textContent: message });
  input.setAttribute("aria-invalid", "true");
  input.setAttribute("aria-describedby", text.id);
  input.after(text);
  return true;
}

/** Show a message for some seconds. */
export function toast(text) {
  const box = find("#toast").content.firstElementChild.cloneNode(true);
  box.querySelector("span").textContent = text;
  box.querySelector("button").addEventListener("click", () => box.remove());
  find("#toasts").append(box);
  setTimeout(() => box.remove(), 8000);
}

/** Show a message on the next page. */
export const toastNext = (text) => sessionStorage.setItem("toast", text);

/** Ask before something is lost; true if the user presses the button with the text `action`. */
export function confirmed(text, action) {
  const dialog = find("#question");
  dialog.querySelector("p").textContent = text;
  dialog.querySelector("[value=yes]").textContent = action;
  dialog.returnValue = "";
  dialog.showModal();
  return new Promise((resolve) =>
    dialog.addEventListener("close", () => resolve(dialog.returnValue === "yes"), { once: true }));
}

/** Call send(data, button) with the data of a form instead of leaving the page. */
export function onSubmit(selector, send) {
  find(selector)?.addEventListener("submit", (event) => {
    event.preventDefault();
    send(new FormData(event.target), event.target.querySelector("button"));
  });
}

/** Start or confirm a job and open its page, or show the error. */
export async function post(address, body, button) {
  button.disabled = true;
  const reply = await send("POST", address, body);
  button.disabled = reply.ok;
  if (!reply.ok) showProblem(reply.body);
  else if (location.pathname === `/console/jobs/${reply.body.job}`) location.reload();
  else location.assign(`/console/jobs/${reply.body.job}`);
}

const pending = sessionStorage.getItem("toast");
sessionStorage.removeItem("toast");
if (pending) toast(pending);
