//! JSON with expressions in it.

use std::fmt;
use std::sync::Arc;

use serde_json::{Map, Value};

use super::{Expression, ExpressionError, UriTemplate, Variables, meter, unwrap};

/// A JSON value whose strings that are wholly `${ … }` are expressions. Expressions found inside *data* are never evaluated: only
/// those that are in the definition.
#[derive(Clone, Debug)]
pub struct Template(Node);

#[derive(Clone, Debug)]
enum Node {
    Constant(Value),
    Expression(Expression),
    Uri(UriTemplate),
    Array(Vec<Node>),
    Object(Vec<(String, Node)>),
}

impl Template {
    /// Compiles the expressions in `value`.
    ///
    /// # Errors
    /// Every expression that does not compile: its JSON pointer within `value`, and why.
    pub fn compile(value: &Value, locals: &[Arc<str>]) -> Result<Self, Vec<(String, ExpressionError)>> {
        let mut errors = Vec::new();
        let node = Node::compile(value, locals, &mut String::new(), &mut errors);
        if errors.is_empty() { Ok(Self(node)) } else { Err(errors) }
    }

    /// Calls `look` with every expression in it.
    pub fn for_each_expression(&self, look: &mut impl FnMut(&Expression)) {
        self.0.for_each_expression(look);
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

    /// A URI, its names replaced by what the input has.
    #[must_use]
    pub fn of_uri(uri: UriTemplate) -> Self {
        Self(if uri.is_constant() { Node::Constant(uri.text().into()) } else { Node::Uri(uri) })
    }

    /// A mapping of templates.
    #[must_use]
    pub fn of_object(entries: Vec<(String, Self)>) -> Self {
        if entries.iter().all(|(_, it)| it.0.is_constant()) {
            return Self(Node::Constant(
                entries.iter().map(|(key, it)| (key.clone(), it.0.text())).collect(),
            ));
        }
        Self(Node::Object(entries.into_iter().map(|(key, it)| (key, it.0)).collect()))
    }

    /// The value, if there is no expression in it.
    #[must_use]
    pub fn constant(&self) -> Option<&Value> {
        match &self.0 {
            Node::Constant(value) => Some(value),
            Node::Expression(_) | Node::Uri(_) | Node::Array(_) | Node::Object(_) => None,
        }
    }

    /// The value with all expressions replaced by what they give. They share the bounds of one expression.
    ///
    /// # Errors
    /// The first expression that fails.
    pub fn evaluate(&self, input: &Value, variables: &impl Variables) -> Result<Value, ExpressionError> {
        match &self.0 {
            Node::Constant(value) => Ok(value.clone()),
            node => meter::shared(|| node.evaluate(input, variables)),
        }
    }
}

/// As in the definition, as compact JSON; an expression alone stands without quotes.
impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Node::Expression(it) => write!(f, "{it:?}"),
            node => write!(f, "{}", node.text()),
        }
    }
}

impl Node {
    fn text(&self) -> Value {
        match self {
            Self::Constant(value) => value.clone(),
            Self::Expression(it) => Value::String(format!("{it:?}")),
            Self::Uri(it) => Value::String(it.text().to_owned()),
            Self::Array(items) => items.iter().map(Self::text).collect(),
            Self::Object(entries) => entries.iter().map(|(key, it)| (key.clone(), it.text())).collect(),
        }
    }

    fn compile(
        value: &Value,
        locals: &[Arc<str>],
        pointer: &mut String,
        errors: &mut Vec<(String, ExpressionError)>,
    ) -> Self {
        let length = pointer.len();
        let node = match value {
            Value::String(text) if unwrap(text).is_some() => match Expression::compile(text, locals) {
                Ok(expression) => Self::Expression(expression),
                Err(error) => {
                    errors.push((pointer.clone(), error));
                    Self::Constant(Value::Null)
                }
            },
            Value::Array(items) => {
                let mut nodes = Vec::with_capacity(items.len());
                for (index, item) in items.iter().enumerate() {
                    pointer.push_str(&format!("/{index}"));
                    nodes.push(Self::compile(item, locals, pointer, errors));
                    pointer.truncate(length);
                }
                Self::Array(nodes)
            }
            Value::Object(entries) => {
                let mut nodes = Vec::with_capacity(entries.len());
                for (key, item) in entries {
                    pointer.push('/');
                    pointer.push_str(&key.replace('~', "~0").replace('/', "~1"));
                    nodes.push((key.clone(), Self::compile(item, locals, pointer, errors)));
                    pointer.truncate(length);
                }
                Self::Object(nodes)
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
                Self::Constant(value.clone())
            }
        };
        let is_constant = match &node {
            Self::Array(items) => items.iter().all(Self::is_constant),
            Self::Object(entries) => entries.iter().all(|(_, it)| it.is_constant()),
            Self::Constant(_) | Self::Expression(_) | Self::Uri(_) => false,
        };
        if is_constant { Self::Constant(value.clone()) } else { node }
    }

    fn for_each_expression(&self, look: &mut impl FnMut(&Expression)) {
        match self {
            Self::Constant(_) | Self::Uri(_) => {}
            Self::Expression(it) => look(it),
            Self::Array(items) => items.iter().for_each(|it| it.for_each_expression(look)),
            Self::Object(entries) => entries.iter().for_each(|(_, it)| it.for_each_expression(look)),
        }
    }

    fn is_constant(&self) -> bool {
        matches!(self, Self::Constant(_))
    }

    fn evaluate(&self, input: &Value, variables: &impl Variables) -> Result<Value, ExpressionError> {
        match self {
            Self::Constant(value) => Ok(value.clone()),
            Self::Expression(expression) => expression.evaluate(input, variables),
            Self::Uri(uri) => uri.expand(input).map(Value::String),
            Self::Array(items) => items
                .iter()
                .map(|it| it.evaluate(input, variables))
                .collect::<Result<_, _>>()
                .map(Value::Array),
            Self::Object(entries) => entries
                .iter()
                .map(|(key, it)| Ok((key.clone(), it.evaluate(input, variables)?)))
                .collect::<Result<Map<_, _>, _>>()
                .map(Value::Object),
        }
    }
}
