//! Bars over time as inline SVG: no script, no image, readable by a screen reader, and with the numbers in a table behind it.

use askama::Template;

const WIDTH: u32 = 720;
const HEIGHT: u32 = 160;

/// A chart. Put `{{ chart.svg()|safe }}` into a template: what it holds is escaped here.
#[derive(Clone, Debug)]
pub struct Chart {
    /// What is shown: `Requests per day`.
    pub title: String,
    /// What is to be seen in it, in a sentence: `12,345 requests in 30 days, 2 % refused.`
    pub description: String,
    /// What the lower part of each bar is: `accepted`.
    pub lower: &'static str,
    /// What the upper part is: `refused`.
    pub upper: &'static str,
    /// The bars, oldest first.
    pub bars: Vec<Bar>,
}

/// One bar, of two parts.
#[derive(Clone, Debug)]
pub struct Bar {
    /// When: `21 Nov`.
    pub label: String,
    /// The part below.
    pub lower: u64,
    /// The part above.
    pub upper: u64,
}

#[derive(Debug)]
struct Drawn<'a> {
    bar: &'a Bar,
    x: u32,
    width: u32,
    lower_y: u32,
    lower_height: u32,
    upper_y: u32,
    upper_height: u32,
}

#[derive(Template)]
#[template(path = "dashboard/chart.html")]
struct Drawing<'a> {
    chart: &'a Chart,
    bars: Vec<Drawn<'a>>,
    /// What the axis says: the first moment, the one in the middle, the last.
    labels: Vec<&'a str>,
    most: String,
    width: u32,
    height: u32,
}

impl Chart {
    /// Whether there is nothing to be seen.
    pub fn is_empty(&self) -> bool {
        self.bars.iter().all(|bar| bar.lower == 0 && bar.upper == 0)
    }

    /// The SVG and its table.
    pub fn svg(&self) -> String {
        let most = self
            .bars
            .iter()
            .map(|bar| bar.lower.saturating_add(bar.upper))
            .max();
        let most = most.unwrap_or(0).max(1);
        let count = u32::try_from(self.bars.len()).unwrap_or(u32::MAX).max(1);
        let step = WIDTH / count;
        let width = step.saturating_sub(2).max(1);
        let base = HEIGHT;
        let bars = self.bars.iter().zip(0_u32..).map(|(bar, n)| {
            let lower_height = part(bar.lower, most, base);
            let upper_height = part(bar.upper, most, base).min(base.saturating_sub(lower_height));
            let x = n.saturating_mul(step);
            Drawn {
                bar,
                x,
                width,
                lower_y: base.saturating_sub(lower_height),
                lower_height,
                upper_y: base.saturating_sub(lower_height).saturating_sub(upper_height),
                upper_height,
            }
        });
        let drawing = Drawing {
            chart: self,
            bars: bars.collect(),
            labels: self.labels(),
            most: grouped(most),
            width: step.saturating_mul(count).max(1),
            height: HEIGHT,
        };
        drawing.render().unwrap_or_default()
    }
}

impl Chart {
    fn labels(&self) -> Vec<&str> {
        let last = self.bars.len().saturating_sub(1);
        let mut places = vec![0, last / 2, last];
        places.dedup();
        places
            .into_iter()
            .filter_map(|place| self.bars.get(place))
            .map(|bar| bar.label.as_str())
            .collect()
    }
}

/// A height in proportion; what is there at all is seen.
fn part(value: u64, most: u64, height: u32) -> u32 {
    if value == 0 {
        return 0;
    }
    let scaled = u128::from(value) * u128::from(height) / u128::from(most.max(1));
    u32::try_from(scaled).unwrap_or(height).clamp(1, height)
}

/// A whole number for people: `1234567` as `1,234,567`.
pub fn grouped(number: impl std::fmt::Display) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (n, digit) in digits.chars().enumerate() {
        if n > 0 && (digits.len() - n).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chart(values: &[(u64, u64)]) -> Chart {
        Chart {
            title: "Requests <per> day".to_owned(),
            description: "All & nothing".to_owned(),
            lower: "accepted",
            upper: "refused",
            bars: values
                .iter()
                .map(|(lower, upper)| Bar {
                    label: "21 Nov".to_owned(),
                    lower: *lower,
                    upper: *upper,
                })
                .collect(),
        }
    }

    #[test]
    fn numbers_have_commas() {
        let texts = [0_u64, 999, 1000, 1_234_567].map(grouped);
        assert_eq!(texts, ["0", "999", "1,000", "1,234,567"]);
    }

    #[test]
    fn what_is_there_is_seen_and_nothing_overflows() {
        assert_eq!(part(1, u64::MAX, 140), 1);
        assert_eq!(part(u64::MAX, u64::MAX, 140), 140);
        assert_eq!(part(0, 5, 140), 0);
        let svg = chart(&[(u64::MAX, u64::MAX), (0, 0), (1, 1)]).svg();
        assert!(svg.contains("<svg") && svg.contains("<table"));
        assert!(svg.contains("Requests &#60;per&#62; day"), "{svg}");
        assert!(chart(&[(0, 0)]).is_empty());
        assert!(chart(&[]).is_empty() && chart(&[]).svg().contains("<svg"));
    }
}
