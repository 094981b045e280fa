use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use image::RgbImage;
use sha2::{Digest, Sha256};

use super::figure::image;
use super::text::{escape, number};
use super::{Gallery, Method, Report, chart, genes};
use crate::ReportError;

const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");

pub(super) fn page(report: &Report) -> Result<String, ReportError> {
    let title = escape(&report.title);
    let first_line = report.first_line();
    let beaten = if first_line.starts_with("A baseline does better") { " beaten" } else { "" };
    let hash = STANDARD.encode(Sha256::digest(SCRIPT.as_bytes()));
    let mut out = format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; img-src data:; \
         style-src 'unsafe-inline'; script-src 'sha256-{hash}'; base-uri 'none'; form-action 'none'\">\
         <meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\
         <title>{title}</title><style>{STYLE}</style></head><body><main><h1>{title}</h1>\
         <p class=\"verdict{beaten}\">{}</p>",
        escape(&first_line)
    );
    for warning in &report.warnings {
        out += &format!("<p class=\"warn\">{}</p>", escape(warning));
    }
    if !report.methods.is_empty() {
        out += &section("The model and its baselines", &methods(&report.methods));
    }
    if !report.numbers.is_empty() {
        let card = |n: &super::Number| {
            let note =
                if n.note.is_empty() { String::new() } else { format!("<dd class=\"note\">{}</dd>", escape(&n.note)) };
            format!("<div><dt>{}</dt><dd class=\"value\">{}</dd>{note}</div>", escape(&n.label), escape(&n.value))
        };
        let cards: String = report.numbers.iter().map(card).collect();
        out += &section("Quality", &format!("<dl class=\"numbers\">{cards}</dl>"));
    }
    if let Some(overlay) = &report.overlay {
        let picture = image(&overlay.image, "Cells over their slide")?;
        let body = format!(
            "<figure class=\"overlay\">{picture}<figcaption>{}</figcaption></figure>",
            escape(&overlay.caption)
        );
        out += &section("Cells found", &body);
    }
    if !report.maps.is_empty() {
        let mut body = String::new();
        for map in &report.maps {
            body += &format!("<div class=\"map\"><h3>{}</h3><div class=\"panels\">", escape(&map.gene));
            for (label, panel) in &map.panels {
                body += &format!("<figure>{}</figure>", image(panel, &format!("{}, {label}", map.gene))?);
            }
            body += &format!("</div><figcaption>{}</figcaption></div>", escape(&map.caption));
        }
        out += &section("Genes over the tissue", &body);
    }
    let mut charts = String::new();
    if let Some(curve) = &report.calibration {
        charts += &figure(&chart::calibration(curve), &curve.caption);
    }
    if let Some(ceilings) = &report.ceiling {
        charts += &figure(&chart::ceilings(ceilings), &ceilings.caption);
    }
    if !charts.is_empty() {
        out += &section("How far to trust it", &format!("<div class=\"charts\">{charts}</div>"));
    }
    if let Some(table) = &report.genes {
        out += &section(&format!("Genes ({})", table.rows.len()), &genes::table(table)?);
    }
    if !report.galleries.is_empty() {
        let body: String = report.galleries.iter().map(gallery).collect::<Result<_, _>>()?;
        out += &section("Cells with the highest and the lowest values", &body);
    }
    if !report.provenance.is_empty() {
        let row = |(name, value): &(String, String)| format!("<dt>{}</dt><dd>{}</dd>", escape(name), escape(value));
        let rows: String = report.provenance.iter().map(row).collect();
        out += &section("Where this comes from", &format!("<dl class=\"provenance\">{rows}</dl>"));
    }
    Ok(out + &format!("</main><script>{SCRIPT}</script></body></html>\n"))
}

fn section(heading: &str, body: &str) -> String {
    format!("<section><h2>{}</h2>{body}</section>", escape(heading))
}

fn figure(picture: &str, caption: &str) -> String {
    format!("<figure>{picture}<figcaption>{}</figcaption></figure>", escape(caption))
}

/// A table with a bar for the last score.
fn methods(methods: &[Method]) -> String {
    let widest = methods.iter().map(|m| m.pearson.len()).max().unwrap_or(0);
    let counts = methods.iter().find(|m| m.pearson.len() == widest).map(|m| &m.pearson[..]).unwrap_or(&[]);
    let mut out = String::from("<div class=\"scroll\" tabindex=\"0\"><table><thead><tr><th>mean Pearson over</th>");
    for (genes, _, _) in counts {
        out += &format!("<th scope=\"col\">{genes} genes</th>");
    }
    let errors = methods.iter().any(|m| m.rmse.is_some());
    out +=
        "<th scope=\"col\"></th><th scope=\"col\" title=\"of the difference to the model over the last genes\">p</th>";
    out += if errors { "<th scope=\"col\">error (RMSE)</th></tr></thead><tbody>" } else { "</tr></thead><tbody>" };
    for (at, method) in methods.iter().enumerate() {
        out += &format!("<tr><th scope=\"row\">{}</th>", escape(&method.name));
        for column in 0..widest {
            out += &match method.pearson.get(column) {
                Some((_, pearson, Some((low, high)))) => format!(
                    "<td>{} <span class=\"ci\">{} to {}</span></td>",
                    number(*pearson),
                    number(*low),
                    number(*high)
                ),
                Some((_, pearson, None)) => format!("<td>{}</td>", number(*pearson)),
                None => "<td>–</td>".to_owned(),
            };
        }
        let share = method.pearson.last().map_or(0.0, |p| p.1.clamp(0.0, 1.0));
        let p = match (at, method.p_value) {
            (_, Some(p)) if p < 0.001 => "&lt; 0.001".to_owned(),
            (_, Some(p)) => format!("{p:.3}"),
            (0, None) => String::new(),
            (_, None) => "–".to_owned(),
        };
        out += &format!(
            "<td style=\"text-align:left\"><span class=\"bar\" style=\"width:{:.1}rem\"></span></td><td>{p}</td>",
            8.0 * share
        );
        if errors {
            out += &format!("<td>{}</td>", method.rmse.map_or("–".to_owned(), number));
        }
        out += "</tr>";
    }
    out += "</tbody></table></div>";
    let constant: Vec<String> =
        methods.iter().filter(|m| m.constant > 0).map(|m| format!("{} of {}", m.constant, escape(&m.name))).collect();
    if !constant.is_empty() {
        out += &format!("<figcaption>Genes without a correlation, counted as 0: {}</figcaption>", constant.join(", "));
    }
    out
}

fn gallery(gallery: &Gallery) -> Result<String, ReportError> {
    let list = |label: &str, crops: &[(RgbImage, f64)]| -> Result<String, ReportError> {
        if crops.is_empty() {
            return Ok(String::new());
        }
        let mut out = format!("<figcaption>{label}</figcaption><ul class=\"crops\">");
        for (crop, value) in crops {
            out += &format!("<li>{}{}</li>", image(crop, "a cell")?, number(*value));
        }
        Ok(out + "</ul>")
    };
    let (highest, lowest) = (list("highest", &gallery.highest)?, list("lowest", &gallery.lowest)?);
    Ok(format!("<div class=\"map\"><h3>{}</h3>{highest}{lowest}</div>", escape(&gallery.gene)))
}
