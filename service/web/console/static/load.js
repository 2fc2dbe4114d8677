// The page on which a user chooses a file.
import { find, onSubmit, post } from "./console.js";

onSubmit("#load", (form, button) => {
  const file = find("#file").files[0];
  const query = new URLSearchParams({
    table: form.get("table"), name: file.name,
    on_conflict: form.get("on_conflict"), assume_utc: form.has("assume_utc"),
  });
  post(`/console/loads?${query}`, file, button);
});

const drop = find(".drop");
if (drop) {
  const input = find("#file");
  const guess = () => {
    const stem = input.files[0]?.name.split(".")[0];
    for (const option of find("[name=table]").options)
      if (stem === option.value || stem === option.dataset.name) option.selected = true;
  };
  input.addEventListener("change", guess);
  for (const kind of ["dragover", "dragleave", "drop"])
    drop.addEventListener(kind, (event) => {
      event.preventDefault();
      drop.classList.toggle("over", kind === "dragover");
      if (kind === "drop" && event.dataTransfer.files.length) {
        input.files = event.dataTransfer.files;
        guess();
      }
    });
}
