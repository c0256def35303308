// Lets the headings of the table of scores sort its rows. Text is moved, never made into HTML.
(() => {
  const table = document.getElementById("score-table");
  const body = table.tBodies[0];
  const headings = [...table.tHead.rows[0].cells];

  const number = (text) => (text === "inf" ? Infinity : parseFloat(text.replace(/,/g, "")));

  // Negative if a row comes before another; empty cells come last either way.
  function compare(a, b, isNumber, direction) {
    if (a === "" || b === "") return (a === "") - (b === "");
    const [x, y] = [number(a), number(b)];
    if (isNumber) return x === y ? 0 : direction * (x < y ? -1 : 1);
    return direction * a.localeCompare(b, undefined, { numeric: true });
  }

  function sort(column) {
    const heading = headings[column];
    const direction = heading.getAttribute("aria-sort") === "ascending" ? -1 : 1;
    const isNumber = heading.classList.contains("number");
    const text = (row) => row.cells[column].textContent.trim();
    const rows = [...body.rows];
    rows.sort((a, b) => compare(text(a), text(b), isNumber, direction));
    body.append(...rows);
    headings.forEach((each) => each.removeAttribute("aria-sort"));
    heading.setAttribute("aria-sort", direction > 0 ? "ascending" : "descending");
  }

  headings.forEach((heading, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...heading.childNodes);
    button.addEventListener("click", () => sort(column));
    heading.append(button);
  });
})();
