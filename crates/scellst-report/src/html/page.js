(function () {
  var table = document.getElementById("genes");
  if (!table) return;
  var body = table.tBodies[0], heads = table.tHead.rows[0].cells;
  function key(row, at) {
    if (at === 0) return row.cells[0].textContent;
    var v = row.cells[at].getAttribute("data-v");
    return v === null ? null : Number(v);
  }
  function sort(at) {
    var down = heads[at].getAttribute("aria-sort") ? heads[at].getAttribute("aria-sort") === "ascending" : at !== 0;
    for (var i = 0; i < heads.length; i++) heads[i].removeAttribute("aria-sort");
    heads[at].setAttribute("aria-sort", down ? "descending" : "ascending");
    var rows = Array.prototype.slice.call(body.rows);
    rows.sort(function (a, b) {
      var x = key(a, at), y = key(b, at);
      if (x === null || y === null) return (x === null) - (y === null);
      var order = at === 0 ? x.localeCompare(y) : x - y;
      return down ? -order : order;
    });
    rows.forEach(function (row) { body.appendChild(row); });
  }
  Array.prototype.forEach.call(heads, function (head, at) {
    head.firstChild.addEventListener("click", function () { sort(at); });
  });
  document.getElementById("find").addEventListener("input", function () {
    var wanted = this.value.trim().toLowerCase();
    Array.prototype.forEach.call(body.rows, function (row) {
      row.hidden = row.cells[0].textContent.toLowerCase().indexOf(wanted) < 0;
    });
  });
})();
