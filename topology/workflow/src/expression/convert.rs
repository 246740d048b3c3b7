//! JSON to jq's values and back.

use jaq_json::{Num, Val};
use serde_json::{Map, Number, Value};

/// JSON as jq sees it.
pub(super) fn to_jq(value: &Value) -> Val {
    match value {
        Value::Null => Val::Null,
        Value::Bool(is) => Val::Bool(*is),
        Value::Number(number) => Val::Num(match (number.as_i64(), number.as_u64()) {
            (Some(int), _) => Num::from_integral(int),
            (None, Some(int)) => Num::from_integral(int),
            (None, None) => Num::Float(number.as_f64().unwrap_or(f64::NAN)),
        }),
        Value::String(text) => Val::utf8_str(text.clone().into_bytes()),
        Value::Array(items) => items.iter().map(to_jq).collect(),
        Value::Object(entries) => Val::obj(
            entries.iter().map(|(key, item)| (Val::utf8_str(key.clone().into_bytes()), to_jq(item))).collect(),
        ),
    }
}

/// jq's value as JSON, of at most `bytes_max` bytes, approximately.
pub(super) fn to_json(value: &Val, bytes_max: usize) -> Result<Value, String> {
    let mut left = bytes_max;
    convert(value, &mut left, bytes_max)
}

fn convert(value: &Val, left: &mut usize, bytes_max: usize) -> Result<Value, String> {
    let size = match value {
        Val::TStr(text) => text.len() + 2,
        Val::Null | Val::Bool(_) | Val::Num(_) | Val::BStr(_) | Val::Arr(_) | Val::Obj(_) => 4,
    };
    *left = left.checked_sub(size).ok_or_else(|| format!("its output is larger than {bytes_max} bytes"))?;
    Ok(match value {
        Val::Null => Value::Null,
        Val::Bool(is) => Value::Bool(*is),
        Val::Num(number) => Value::Number(convert_number(number)?),
        Val::TStr(text) => Value::String(String::from_utf8_lossy(text).into_owned()),
        Val::BStr(_) => return Err("its output holds bytes, which JSON cannot: use @base64".to_owned()),
        Val::Arr(items) => {
            Value::Array(items.iter().map(|it| convert(it, left, bytes_max)).collect::<Result<_, _>>()?)
        }
        Val::Obj(entries) => {
            let mut object = Map::with_capacity(entries.len());
            for (key, item) in entries.iter() {
                let Val::TStr(key) = key else {
                    return Err(format!("its output has the key {key}, which is no string"));
                };
                *left = left.checked_sub(key.len()).ok_or_else(|| format!("its output is larger than {bytes_max} bytes"))?;
                object.insert(String::from_utf8_lossy(key).into_owned(), convert(item, left, bytes_max)?);
            }
            Value::Object(object)
        }
    })
}

fn convert_number(number: &Num) -> Result<Number, String> {
    let not_json = || format!("its output holds {number}, which is no JSON number");
    match number {
        Num::Int(int) => Ok(Number::from(*int)),
        // As jq prints them: a number that is whole stays whole.
        Num::Float(float) if float.fract() == 0.0 && float.abs() < 9_007_199_254_740_992.0 => Ok(Number::from(*float as i64)),
        Num::Float(float) => Number::from_f64(*float).ok_or_else(not_json),
        Num::BigInt(_) | Num::Dec(_) => {
            let text = number.to_string();
            text.parse::<u64>().map(Number::from).ok().or_else(|| Number::from_f64(text.parse().ok()?)).ok_or_else(not_json)
        }
    }
}
