//! JSON with expressions in it.

use serde_json::{Map, Value};
use std::sync::Arc;

use super::{Expression, ExpressionError, Variables, unwrap};

/// A JSON value whose strings that are wholly `${ … }` are expressions. Expressions found inside *data* are never evaluated: only
/// those that are in the definition.
#[derive(Clone, Debug)]
pub struct Template(Node);

#[derive(Clone, Debug)]
enum Node {
    Constant(Value),
    Expression(Expression),
    Array(Vec<Node>),
    Object(Vec<(String, Node)>),
}

impl Template {
    /// Compiles the expressions in `value`.
    ///
    /// # Errors
    /// The JSON pointer, within `value`, of the first expression that does not compile, and why.
    pub fn compile(value: &Value, locals: &[Arc<str>]) -> Result<Self, (String, ExpressionError)> {
        Node::compile(value, locals).map(Self)
    }

    /// A value without expressions.
    #[must_use]
    pub fn of_constant(value: Value) -> Self {
        Self(Node::Constant(value))
    }

    /// A value that is one expression, whether or not `${ … }` is around it.
    #[must_use]
    pub fn of_expression(expression: Expression) -> Self {
        Self(Node::Expression(expression))
    }

    /// The value, if there is no expression in it.
    #[must_use]
    pub fn constant(&self) -> Option<&Value> {
        match &self.0 {
            Node::Constant(value) => Some(value),
            Node::Expression(_) | Node::Array(_) | Node::Object(_) => None,
        }
    }

    /// The value with all expressions replaced by what they give.
    ///
    /// # Errors
    /// The first expression that fails.
    pub fn evaluate(&self, input: &Value, variables: &impl Variables) -> Result<Value, ExpressionError> {
        self.0.evaluate(input, variables)
    }
}

impl Node {
    fn compile(value: &Value, locals: &[Arc<str>]) -> Result<Self, (String, ExpressionError)> {
        let within = |key: &str| {
            let key = key.replace('~', "~0").replace('/', "~1");
            move |(pointer, error): (String, ExpressionError)| (format!("/{key}{pointer}"), error)
        };
        let node = match value {
            Value::String(text) if unwrap(text).is_some() => {
                Self::Expression(Expression::compile(text, locals).map_err(|error| (String::new(), error))?)
            }
            Value::Array(items) => Self::Array(
                items
                    .iter()
                    .enumerate()
                    .map(|(i, item)| Self::compile(item, locals).map_err(within(&i.to_string())))
                    .collect::<Result<_, _>>()?,
            ),
            Value::Object(entries) => Self::Object(
                entries
                    .iter()
                    .map(|(key, item)| Ok((key.clone(), Self::compile(item, locals).map_err(within(key))?)))
                    .collect::<Result<_, _>>()?,
            ),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Self::Constant(value.clone()),
        };
        let is_constant = match &node {
            Self::Array(items) => items.iter().all(Self::is_constant),
            Self::Object(entries) => entries.iter().all(|(_, it)| it.is_constant()),
            Self::Constant(_) | Self::Expression(_) => false,
        };
        Ok(if is_constant { Self::Constant(value.clone()) } else { node })
    }

    fn is_constant(&self) -> bool {
        matches!(self, Self::Constant(_))
    }

    fn evaluate(&self, input: &Value, variables: &impl Variables) -> Result<Value, ExpressionError> {
        match self {
            Self::Constant(value) => Ok(value.clone()),
            Self::Expression(expression) => expression.evaluate(input, variables),
            Self::Array(items) => {
                items.iter().map(|it| it.evaluate(input, variables)).collect::<Result<_, _>>().map(Value::Array)
            }
            Self::Object(entries) => entries
                .iter()
                .map(|(key, it)| Ok((key.clone(), it.evaluate(input, variables)?)))
                .collect::<Result<Map<_, _>, _>>()
                .map(Value::Object),
        }
    }
}
