//! JSON to jq's values and back.

use jaq_json::{Num, Val};
use serde_json::{Map, Number, Value};

use super::meter::VALUE_DEPTH_MAX;
use super::value::Metered;
use super::{OUTPUT_BYTES_MAX, OUTPUT_DEPTH_MAX};

/// JSON as jq sees it.
pub(super) fn to_jq(value: &Value) -> Metered {
    let (value, depth) = build(value);
    Metered::given(value, depth)
}

/// The value, and how deep it is nested.
fn build(value: &Value) -> (Val, usize) {
    let mut depth = 0;
    let mut part = |value: &Value| {
        let (part, below) = build(value);
        depth = depth.max(below + 1);
        part
    };
    let value = match value {
        Value::Null => Val::Null,
        Value::Bool(is) => Val::Bool(*is),
        Value::Number(number) => Val::Num(match (number.as_i64(), number.as_u64()) {
            (Some(int), _) => Num::from_integral(int),
            (None, Some(int)) => Num::from_integral(int),
            (None, None) => Num::Float(number.as_f64().unwrap_or(f64::NAN)),
        }),
        Value::String(text) => Val::utf8_str(text.clone().into_bytes()),
        Value::Array(items) => {
            let items = items.iter().map(part).collect();
            return (items, depth.max(1));
        }
        Value::Object(entries) => {
            let key = |key: &str| Val::utf8_str(key.as_bytes().to_vec());
            let entries = entries.iter().map(|(name, item)| (key(name), part(item))).collect();
            return (Val::obj(entries), depth.max(1));
        }
    };
    (value, 0)
}

/// jq's value as JSON, of at most [`OUTPUT_BYTES_MAX`] bytes, approximately.
pub(super) fn to_json(value: &Val) -> Result<Value, String> {
    let mut bytes_left = OUTPUT_BYTES_MAX;
    convert(value, &mut bytes_left, OUTPUT_DEPTH_MAX)
}

fn convert(value: &Val, bytes_left: &mut usize, depth_left: usize) -> Result<Value, String> {
    match value {
        Val::TStr(text) => take(bytes_left, text.len() + 2)?,
        Val::Null | Val::Bool(_) | Val::Num(_) | Val::BStr(_) | Val::Arr(_) | Val::Obj(_) => {
            take(bytes_left, 4)?
        }
    }
    let deeper = || {
        depth_left
            .checked_sub(1)
            .ok_or_else(|| format!("its output is nested more than {OUTPUT_DEPTH_MAX} deep"))
    };
    Ok(match value {
        Val::Null => Value::Null,
        Val::Bool(is) => Value::Bool(*is),
        Val::Num(number) => Value::Number(convert_number(number)?),
        Val::TStr(text) => Value::String(String::from_utf8_lossy(text).into_owned()),
        Val::BStr(_) => return Err("its output holds bytes, which JSON cannot: use @base64".to_owned()),
        Val::Arr(items) => {
            let depth_left = deeper()?;
            Value::Array(
                items.iter().map(|it| convert(it, bytes_left, depth_left)).collect::<Result<_, _>>()?,
            )
        }
        Val::Obj(entries) => {
            let depth_left = deeper()?;
            let mut object = Map::with_capacity(entries.len());
            for (key, item) in entries.iter() {
                let Val::TStr(key) = key else {
                    let key = super::shortened(&Metered::given(key.clone(), VALUE_DEPTH_MAX).to_string());
                    return Err(format!("its output has the key {key}, which is no string"));
                };
                take(bytes_left, key.len() + 2)?;
                object.insert(
                    String::from_utf8_lossy(key).into_owned(),
                    convert(item, bytes_left, depth_left)?,
                );
            }
            Value::Object(object)
        }
    })
}

fn take(bytes_left: &mut usize, bytes: usize) -> Result<(), String> {
    *bytes_left = bytes_left
        .checked_sub(bytes)
        .ok_or_else(|| format!("its output is larger than {OUTPUT_BYTES_MAX} bytes"))?;
    Ok(())
}

fn convert_number(number: &Num) -> Result<Number, String> {
    let not_json =
        || format!("its output holds {}, which is no JSON number", super::shortened(&number.to_string()));
    match number {
        Num::Int(int) => Ok(Number::from(*int)),
        // As jq prints them: a number that is whole stays whole.
        Num::Float(float)
            if float.fract() == 0.0
                && (*float != 0.0 || float.is_sign_positive())
                && float.abs() < 9_007_199_254_740_992.0 =>
        {
            Ok(Number::from(*float as i64))
        }
        Num::Float(float) => Number::from_f64(*float).ok_or_else(not_json),
        Num::BigInt(_) | Num::Dec(_) => {
            let text = number.to_string();
            text.parse::<u64>()
                .map(Number::from)
                .ok()
                .or_else(|| Number::from_f64(text.parse().ok()?))
                .ok_or_else(not_json)
        }
    }
}
