//! Expressions, schemas, durations: the parts that all tasks have.

use serde_json::Value;

use super::{Compiler, Scope};
use crate::admission::duration;
use crate::expression::{self, Expression, ExpressionError, GLOBALS, Template};
use crate::program::{DurationSource, ExportModel, InputModel, OutputModel};
use crate::schema::Schema;

impl Compiler<'_, '_> {
    /// A property that is always an expression, `${ }` or not. None if it is absent or wrong.
    pub(super) fn expression(&mut self, holder: &Value, key: &str, scope: &Scope) -> Option<Expression> {
        let text = holder.get(key)?.as_str()?;
        self.compile_expression(text, &scope.below(key))
    }

    pub(super) fn compile_expression(&mut self, text: &str, scope: &Scope) -> Option<Expression> {
        match Expression::compile(text, &scope.locals) {
            Ok(expression) => {
                self.check_secrets(expression.text(), &scope.pointer);
                Some(expression)
            }
            Err(error) => {
                self.report_expression(&error, scope, &scope.pointer);
                None
            }
        }
    }

    fn report_expression(&mut self, error: &ExpressionError, scope: &Scope, pointer: &str) {
        let variables: Vec<String> = GLOBALS
            .iter()
            .copied()
            .filter(|it| *it != "secrets" || self.sees_secrets)
            .chain(scope.locals.iter().map(|it| &**it))
            .map(|it| format!("${it}"))
            .collect();
        let fix = if error.detail.contains("variable") {
            format!("the variables here are {}", variables.join(", "))
        } else {
            "write jq, such as `.order.total > 100`".to_owned()
        };
        self.report.error(pointer, error.to_string(), fix);
    }

    /// Any JSON, in which strings that are wholly `${ }` are expressions.
    pub(super) fn template(&mut self, value: &Value, scope: &Scope) -> Template {
        match Template::compile(value, &scope.locals) {
            Ok(template) => {
                template.for_each_expression(&mut |it| self.check_secrets(it.text(), &scope.pointer));
                template
            }
            Err(errors) => {
                for (inner, error) in errors {
                    let pointer = format!("{}{inner}", scope.pointer);
                    self.report_expression(&error, scope, &pointer);
                }
                Template::of_constant(Value::Null)
            }
        }
    }

    /// `from` and `as`: text is an expression, anything else JSON with expressions in it.
    fn transformation(&mut self, holder: &Value, key: &str, scope: &Scope) -> Option<Template> {
        match holder.get(key)? {
            Value::String(text) => {
                self.compile_expression(text, &scope.below(key)).map(Template::of_expression)
            }
            value => Some(self.template(value, &scope.below(key))),
        }
    }

    pub(super) fn input(&mut self, holder: &Value, scope: &Scope) -> InputModel {
        let Some(model) = holder.get("input") else { return InputModel::default() };
        let scope = scope.below("input");
        InputModel { schema: self.schema(model, &scope), from: self.transformation(model, "from", &scope) }
    }

    pub(super) fn output(&mut self, holder: &Value, scope: &Scope) -> OutputModel {
        let Some(model) = holder.get("output") else { return OutputModel::default() };
        let scope = scope.below("output");
        OutputModel { as_: self.transformation(model, "as", &scope), schema: self.schema(model, &scope) }
    }

    pub(super) fn export(&mut self, holder: &Value, scope: &Scope) -> Option<ExportModel> {
        let model = holder.get("export")?;
        let scope = scope.below("export");
        let schema = self.schema(model, &scope);
        let Some(as_) = self.transformation(model, "as", &scope) else {
            self.report.error(
                &scope.pointer,
                "`export` does not say what to export",
                "add `as`, such as `as: .`",
            );
            return None;
        };
        Some(ExportModel { as_, schema })
    }

    fn schema(&mut self, holder: &Value, scope: &Scope) -> Option<Schema> {
        let model = holder.get("schema")?;
        let scope = scope.below("schema");
        if let Some(format) = model.get("format").and_then(Value::as_str)
            && format != "json"
            && !format.starts_with("json:")
        {
            self.report.unsupported(
                &scope.at("format"),
                &format!("the schema format `{format}`"),
                "use JSON Schema: `format: json`",
            );
            return None;
        }
        if model.get("resource").is_some() {
            let fix =
                "deploy it by `millrace deploy`, which fetches the schema; or write it inline, as `document`";
            self.report.error(&scope.at("resource"), "this schema is elsewhere", fix);
            return None;
        }
        match Schema::compile(model.get("document")?) {
            Ok(schema) => Some(schema),
            Err(detail) => {
                self.report.error(
                    &scope.at("document"),
                    format!("this is no JSON Schema: {detail}"),
                    "correct the schema",
                );
                None
            }
        }
    }

    /// `timeout`: a definition, or the name of one in `use.timeouts`.
    pub(super) fn timeout(&mut self, holder: &Value, scope: &Scope) -> Option<DurationSource> {
        let pointer = scope.at("timeout");
        let (timeout, pointer) = match holder.get("timeout")? {
            Value::String(name) => self.used("timeouts", name, &pointer)?,
            timeout => (timeout.clone(), pointer),
        };
        self.duration(&timeout, "after", &Scope { pointer, ..scope.clone() })
    }

    /// A duration: fixed, or an expression that gives one.
    pub(super) fn duration(&mut self, holder: &Value, key: &str, scope: &Scope) -> Option<DurationSource> {
        let value = holder.get(key)?;
        let scope = scope.below(key);
        if value.as_str().is_some_and(|it| expression::unwrap(it).is_some()) {
            return Some(DurationSource::Computed(self.template(value, &scope)));
        }
        match duration::parse(value) {
            Ok(duration) => Some(DurationSource::Fixed(duration)),
            Err(message) => {
                self.report.error(
                    &scope.pointer,
                    message,
                    "write such as `PT30S`, `P1DT12H` or `{ minutes: 5 }`",
                );
                None
            }
        }
    }
}
