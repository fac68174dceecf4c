// Any bytes as what a caller says of its trace: traceparent, a zero byte, tracestate. What is taken
// of either is what the formats' patterns take, and what is passed on is taken again as it is.
//
// Without KEELSON_FUZZER this file is part of the corpus test.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/check.h"
#include "trace/context.h"
#include "trace/test_contexts.h"

namespace keelson::trace {

void fuzz_context(std::string_view input) {
  const size_t end = std::min(input.find('\0'), input.size());
  const std::string parent(input.substr(0, end));
  const std::string state(input.substr(std::min(end + 1, input.size())));
  const std::optional<SpanContext> context = parse_traceparent(parent);
  const std::string passed_on = parse_tracestate(state);
  if (parent.size() <= kMostForTwins) CHECK(context == twin_of_traceparent(parent));
  if (state.size() <= kMostForTwins) CHECK(passed_on == twin_of_tracestate(state));
  if (context) {
    CHECK(context->trace.valid());
    CHECK(context->span.valid());
    CHECK(context->trace.bytes().size() == 16);
    CHECK(context->span.bytes().size() == 8);
    CHECK((context->flags & ~(kSampled | kRandom)) == 0);
    CHECK(context->state.empty());
  }
  CHECK(passed_on.size() <= state.size());
  CHECK(std::count(passed_on.begin(), passed_on.end(), ',') < 32);
  CHECK(parse_tracestate(passed_on) == passed_on);
}

}  // namespace keelson::trace

#ifdef KEELSON_FUZZER
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  keelson::trace::fuzz_context({reinterpret_cast<const char*>(data), size});
  return 0;
}
#endif
