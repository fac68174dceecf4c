#include "http/json_scanner.h"

#include "absl/strings/str_format.h"
#include "base/check.h"
#include "base/text.h"

namespace keelson::http {
namespace {

bool is_blank(char c) { return c == ' ' || c == '\t' || c == '\r' || c == '\n'; }
bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_hex(char c) { return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F'); }
// Of a string, nothing to think about.
bool is_plain(char c) { return static_cast<unsigned char>(c) >= 0x20 && c != '"' && c != '\\'; }

// Go's, for a byte.
std::string quoted(char c) {
  const auto byte = static_cast<unsigned char>(c);
  switch (c) {
    case '\'':
      return "'\\''";
    case '\\':
      return "'\\\\'";
    case '\a':
      return "'\\a'";
    case '\b':
      return "'\\b'";
    case '\f':
      return "'\\f'";
    case '\n':
      return "'\\n'";
    case '\r':
      return "'\\r'";
    case '\t':
      return "'\\t'";
    case '\v':
      return "'\\v'";
    default:
      break;
  }
  if (byte < 0x20 || byte == 0x7f) return absl::StrFormat("'\\x%02x'", byte);
  if (byte < 0x80) return {'\'', c, '\''};
  if (byte <= 0xa0 || byte == 0xad) return absl::StrFormat("'\\u%04x'", byte);
  return {'\'', static_cast<char>(0xc0 | byte >> 6), static_cast<char>(0x80 | (byte & 0x3f)), '\''};
}

}  // namespace

JsonScanner::Step JsonScanner::feed(std::string_view bytes, size_t* used) {
  size_t at = 0;
  while (true) {
    if (state_ == State::kString) {
      while (at < bytes.size() && is_plain(bytes[at])) ++at;
    }
    *used = at;
    if (at == bytes.size()) return Step::kNeedMore;
    const char c = bytes[at];
    if (!is_blank(c)) begun_ = true;
    const Step step = take(c);
    // A number is seen to have ended by what is not of it any more, and stays for the next value.
    if (state_ == State::kAfterTop && !ended_by_itself_) return value_done();
    ++at;
    *used = at;
    if (state_ == State::kAfterTop) return value_done();
    if (step != Step::kNeedMore) return step;
  }
}

JsonScanner::Step JsonScanner::end() {
  if (!begun_) return Step::kNeedMore;
  const bool whole =
      depth_ == 0 && (state_ == State::kZero || state_ == State::kDigits ||
                      state_ == State::kFraction || state_ == State::kExponentDigits);
  if (whole) return value_done();
  error_ = "unexpected EOF";
  return Step::kBad;
}

JsonScanner::Step JsonScanner::value_done() {
  state_ = State::kValue;
  begun_ = false;
  ended_by_itself_ = true;
  return Step::kValue;
}

JsonScanner::Step JsonScanner::take(char c) {
  switch (state_) {
    case State::kValue:
      return is_blank(c) ? to(state_) : begin_value(c);
    case State::kValueOrEnd:
      if (is_blank(c)) return to(state_);
      return c == ']' ? close() : begin_value(c);
    case State::kName:
      return is_blank(c) ? to(state_) : begin_name(c);
    case State::kNameOrEnd:
      if (is_blank(c)) return to(state_);
      return c == '}' ? close() : begin_name(c);
    case State::kColon:
      if (is_blank(c)) return to(state_);
      return c == ':' ? to(State::kValue) : bad(c, "after object key");
    case State::kString:
      if (c == '\\') return to(State::kEscape);
      if (c != '"') return bad(c, "in string literal");
      return to(in_name_ ? State::kColon : depth_ == 0 ? State::kAfterTop : inside_[depth_ - 1]);
    case State::kEscape:
      if (c == 'u') {
        hex_left_ = 4;
        return to(State::kHex);
      }
      if (std::string_view("bfnrt\\/\"").find(c) == std::string_view::npos) {
        return bad(c, "in string escape code");
      }
      return to(State::kString);
    case State::kHex:
      if (!is_hex(c)) return bad(c, "in \\u hexadecimal character escape");
      return to(--hex_left_ == 0 ? State::kString : State::kHex);
    case State::kLiteral:
      return in_literal(c);
    case State::kAfterMember:
    case State::kAfterElement:
      return after_value(c);
    default:
      return in_number(c);
  }
}

JsonScanner::Step JsonScanner::begin_value(char c) {
  switch (c) {
    case '{':
      return open(State::kNameOrEnd, State::kAfterMember);
    case '[':
      return open(State::kValueOrEnd, State::kAfterElement);
    case '"':
      in_name_ = false;
      return to(State::kString);
    case '-':
      return to(State::kMinus);
    case '0':
      return to(State::kZero);
    case 't':
    case 'f':
    case 'n':
      literal_ = c == 't' ? "true" : c == 'f' ? "false" : "null";
      literal_at_ = 1;
      return to(State::kLiteral);
    default:
      return is_digit(c) ? to(State::kDigits) : bad(c, "looking for beginning of value");
  }
}

JsonScanner::Step JsonScanner::begin_name(char c) {
  if (c != '"') return bad(c, "looking for beginning of object key string");
  in_name_ = true;
  return to(State::kString);
}

JsonScanner::Step JsonScanner::open(State first, State inside) {
  if (depth_ == kMostNested) {
    error_ = "exceeded max depth";
    return Step::kBad;
  }
  inside_[depth_++] = inside;
  return to(first);
}

JsonScanner::Step JsonScanner::close() {
  CHECK(depth_ > 0);
  if (--depth_ == 0) return value_done();
  return to(inside_[depth_ - 1]);
}

JsonScanner::Step JsonScanner::in_literal(char c) {
  if (c != literal_[literal_at_]) {
    return bad(
        c, cat("in literal ", literal_, " (expecting '", literal_.substr(literal_at_, 1), "')"));
  }
  if (++literal_at_ < literal_.size()) return to(State::kLiteral);
  return to(depth_ == 0 ? State::kAfterTop : inside_[depth_ - 1]);
}

JsonScanner::Step JsonScanner::in_number(char c) {
  switch (state_) {
    case State::kMinus:
      if (!is_digit(c)) return bad(c, "in numeric literal");
      return to(c == '0' ? State::kZero : State::kDigits);
    case State::kPoint:
      return is_digit(c) ? to(State::kFraction) : bad(c, "after decimal point in numeric literal");
    case State::kExponent:
      if (c == '+' || c == '-') return to(State::kExponentSign);
      [[fallthrough]];
    case State::kExponentSign:
      return is_digit(c) ? to(State::kExponentDigits) : bad(c, "in exponent of numeric literal");
    default:
      break;
  }
  if (is_digit(c) && state_ != State::kZero) return to(state_);
  const bool whole = state_ == State::kZero || state_ == State::kDigits;
  if (c == '.' && whole) return to(State::kPoint);
  if ((c == 'e' || c == 'E') && state_ != State::kExponentDigits) return to(State::kExponent);
  // It has ended, and `c` is what comes behind it.
  ended_by_itself_ = false;
  if (depth_ == 0) return to(State::kAfterTop);
  state_ = inside_[depth_ - 1];
  return after_value(c);
}

JsonScanner::Step JsonScanner::after_value(char c) {
  if (is_blank(c)) return to(state_);
  if (state_ == State::kAfterMember) {
    if (c == ',') return to(State::kName);
    return c == '}' ? close() : bad(c, "after object key:value pair");
  }
  CHECK(state_ == State::kAfterElement);
  if (c == ',') return to(State::kValue);
  return c == ']' ? close() : bad(c, "after array element");
}

JsonScanner::Step JsonScanner::bad(char c, std::string_view where) {
  error_ = cat("invalid character ", quoted(c), " ", where);
  return Step::kBad;
}

}  // namespace keelson::http
