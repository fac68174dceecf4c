// http/json_scanner.h
//
// JsonScanner finds where the values of a stream of JSON end, and refuses what is no JSON, in the
// words of Go's decoder, which etcd's gateway reads its bodies with. protobuf's own reader takes
// more than JSON (single quotes, names without any) and one whole value only; it gets what this has
// found.
//
// Threads: a value. Pieces: of any size; nothing is kept of them but the state.
// Bounds: values nest no deeper than kMostNested.
// Source: Go 1.24, encoding/json/scanner.go and stream.go (grammar, texts).

#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace keelson::http {

class JsonScanner {
 public:
  // protobuf's reader goes 100 deep. Answers nest less deep than what they answer.
  static constexpr size_t kMostNested = 100;

  enum class Step : uint8_t {
    kNeedMore,  // all looked at, the value goes on
    kValue,     // a value has ended; the next feed() begins another
    kBad,       // error() says why; nothing more may be fed
  };
  // Looks at the front of `bytes`; `used` of them were. Blanks ahead of a value are a part of it.
  Step feed(std::string_view bytes, size_t* used);
  // No more will come: kNeedMore if nothing but blanks did.
  Step end();

  const std::string& error() const { return error_; }

 private:
  enum class State : uint8_t {
    kValue,  // where one begins
    kValueOrEnd,
    kName,
    kNameOrEnd,
    kColon,
    kAfterMember,
    kAfterElement,
    kAfterTop,  // of a value outside of all others; never between two bytes
    kString,
    kEscape,
    kHex,
    kMinus,
    kZero,
    kDigits,
    kPoint,
    kFraction,
    kExponent,
    kExponentSign,
    kExponentDigits,
    kLiteral,
  };

  // Each takes one byte.
  Step take(char c);
  Step begin_value(char c);
  Step begin_name(char c);
  Step in_number(char c);
  Step in_literal(char c);
  Step after_value(char c);
  Step open(State first, State inside);
  Step close();
  Step value_done();
  Step to(State state) {
    state_ = state;
    return Step::kNeedMore;
  }
  Step bad(char c, std::string_view where);

  State state_ = State::kValue;
  bool begun_ = false;                     // anything but a blank of this value
  std::array<State, kMostNested> inside_;  // kAfterMember or kAfterElement, of what is open
  size_t depth_ = 0;                       // <= kMostNested
  bool in_name_ = false;                   // of kString
  uint8_t hex_left_ = 0;                   // of kHex
  std::string_view literal_;               // of kLiteral …
  size_t literal_at_ = 0;                  // … and how much of it is there
  bool ended_by_itself_ = true;            // the value; not so a number
  std::string error_;
};

}  // namespace keelson::http
