#include "peer/answers.h"

#include "base/text.h"

namespace keelson::peer {

Answer text_answer(int code, std::string_view text) {
  return {.code = code, .body = cat(text, "\n"), .content_type = kPlainText};
}

Answer method_answer(std::string_view allow) {
  Answer answer = text_answer(405, "Method Not Allowed");
  answer.allow = allow;
  return answer;
}

Answer json_answer(int code, std::string_view text) {
  return {.code = code, .body = cat("{\"message\":\"", text, "\"}"), .content_type = kJson};
}

}  // namespace keelson::peer
