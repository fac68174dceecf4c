// peer/answers.h
//
// Answers that a peer listener gives, as plain values.
//
// Threads: pure functions.

#pragma once

#include <string>
#include <string_view>

namespace keelson::peer {

struct Answer {
  int code = 0;
  std::string body{};
  std::string_view content_type{};  // a constant
  std::string_view allow{};         // of a 405: the header Allow; a constant
};

inline constexpr std::string_view kPlainText = "text/plain; charset=utf-8";
inline constexpr std::string_view kJson = "application/json";

// An error as etcd writes it: the text and a newline.
Answer text_answer(int code, std::string_view text);

// 405, for a method other than `allow`.
Answer method_answer(std::string_view allow);

// An error in etcd's JSON form, {"message":"…"}. REQUIRES: `text` needs no escapes.
Answer json_answer(int code, std::string_view text);

}  // namespace keelson::peer
