// The page on which a user chooses files. Each is uploaded at once, and the service detects its table.
import { find, onSubmit, post, showError } from "./console.js";

const form = find("#load");
const list = find("#files");
const items = () => [...list.children];
let uploads = Promise.resolve();

function add(file) {
  const taken = items().map((item) => item.dataset.number);
  const number = [...Array(Number(form.dataset.most)).keys()].find((free) => !taken.includes(`${free}`));
  if (number === undefined) return showError(`Load at most ${form.dataset.most} files at once. Load these first.`);
  const item = find("#chosen-file").content.firstElementChild.cloneNode(true);
  item.dataset.number = number;
  item.querySelector(".name").textContent = file.name;
  item.querySelector(".size").textContent = size(file.size);
  item.querySelector("select").addEventListener("change", () => chosen(item));
  item.querySelector("button").setAttribute("aria-label", `Remove ${file.name}`);
  item.querySelector("button").addEventListener("click", () => remove(item));
  list.append(item);
  refresh();
  uploads = uploads.then(() => upload(item, file));
}

function size(bytes) {
  const units = ["B", "kB", "MB", "GB"];
  const power = Math.min(Math.floor(Math.log10(bytes || 1) / 3), units.length - 1);
  return `${(bytes / 1000 ** power).toLocaleString("en", { maximumFractionDigits: 1 })} ${units[power]}`;
}

async function upload(item, file) {
  if (!item.isConnected) return; // the user has removed it
  const progress = item.querySelector("progress");
  try {
    const { name, table, why } = await sent(item, file, (share) => { progress.value = share; });
    say(item, table ? `${name} → ${table}, ${why}.` : "Neither its name nor its header says which table it is for: choose one.");
    item.querySelector("select").value = table ?? "";
    item.dataset.uploaded = "yes";
  } catch (error) {
    say(item, `${error.message} Remove it, then choose it again.`, "bad");
  }
  progress.remove();
  refresh();
}

/** Upload a file. fetch cannot show the progress of an upload; XMLHttpRequest can. */
function sent(item, file, onProgress) {
  const query = new URLSearchParams({ name: file.name });
  const request = new XMLHttpRequest();
  item.request = request;
  request.open("POST", `/console/uploads/${form.dataset.upload}/${item.dataset.number}?${query}`);
  request.setRequestHeader("Content-Type", "application/octet-stream");
  request.setRequestHeader("Accept", "application/json");
  request.responseType = "json";
  request.upload.addEventListener("progress", (event) => onProgress((100 * event.loaded) / event.total));
  return new Promise((resolve, reject) => {
    const fail = () => reject(new Error(request.response?.detail ?? "The upload did not arrive."));
    request.addEventListener("load", () => (request.status < 300 ? resolve(request.response) : fail()));
    request.addEventListener("error", fail);
    request.addEventListener("abort", fail);
    request.send(file);
  });
}

function say(item, text, kind = "") {
  const place = item.querySelector(".why");
  place.textContent = text;
  place.className = `why ${kind}`;
}

function chosen(item) {
  const select = item.querySelector("select");
  say(item, select.value ? `Into ${select.value}, as you chose.` : "Choose its table.");
  refresh();
  select.focus();
}

function remove(item) {
  item.remove();
  item.request?.abort(); // the next file must not wait for it
  refresh();
  find("#file").focus();
}

/** Parents first; files without a table are last. The check can start when all are uploaded. */
function refresh() {
  const place = (item) => item.querySelector("select").selectedIndex || 99;
  const before = items();
  const sorted = before.toSorted((one, other) => place(one) - place(other));
  if (sorted.some((item, at) => item !== before[at])) list.append(...sorted);
  find("#chosen").hidden = !sorted.length;
  form.querySelector("button.primary").disabled = !sorted.every((item) => item.dataset.uploaded);
}

onSubmit("#load", (data) => {
  const tables = items().map((item) => [item.dataset.number, item.querySelector("select").value]);
  post("/console/loads", {
    upload: form.dataset.upload, tables: Object.fromEntries(tables),
    on_conflict: data.get("on_conflict"), assume_utc: data.has("assume_utc"),
  }, form.querySelector("button.primary"));
});

if (form) {
  const input = find("#file");
  const take = () => {
    [...input.files].forEach(add);
    input.value = "";
  };
  input.addEventListener("change", take);
  take(); // what was chosen before this script ran
  const drop = find(".drop");
  for (const kind of ["dragover", "dragleave", "drop"])
    drop.addEventListener(kind, (event) => {
      event.preventDefault();
      drop.classList.toggle("over", kind === "dragover");
      if (kind === "drop") [...event.dataTransfer.files].forEach(add);
    });
}
