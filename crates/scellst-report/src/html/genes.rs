use super::GeneTable;
use super::text::{escape, number};
use crate::ReportError;

/// The table that sorts. Cells carry the whole number, and show few digits of it.
pub(super) fn table(table: &GeneTable) -> Result<String, ReportError> {
    let mut out = String::from(
        "<label class=\"filter\">Find a gene <input type=\"search\" id=\"find\" autocomplete=\"off\"></label>\
         <div class=\"scroll tall\" tabindex=\"0\" role=\"region\" aria-label=\"Scores of genes\">\
         <table id=\"genes\"><thead><tr>\
         <th scope=\"col\"><button type=\"button\">gene</button></th>",
    );
    for (name, meaning) in &table.columns {
        out += &format!(
            "<th scope=\"col\"><button type=\"button\" title=\"{}\">{}</button></th>",
            escape(meaning),
            escape(name)
        );
    }
    out += "</tr></thead><tbody>";
    for (gene, values) in &table.rows {
        if values.len() != table.columns.len() {
            let expected = format!("{}, one a column", table.columns.len());
            return Err(ReportError::misuse("values of a gene", expected, values.len()));
        }
        out += &format!("<tr><th scope=\"row\">{}</th>", escape(gene));
        for value in values {
            match value.filter(|v| v.is_finite()) {
                Some(v) => out += &format!("<td data-v=\"{v}\">{}</td>", number(v)),
                None => out += "<td>–</td>",
            }
        }
        out += "</tr>";
    }
    out += "</tbody></table></div><details><summary>What the columns mean</summary><dl>";
    for (name, meaning) in &table.columns {
        out += &format!("<dt>{}</dt><dd>{}</dd>", escape(name), escape(meaning));
    }
    Ok(out + "</dl></details>")
}
