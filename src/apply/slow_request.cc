#include "apply/slow_request.h"

#include "base/check.h"
#include "base/inner_errors.h"
#include "base/log.h"
#include "base/protobuf.h"
#include "base/text.h"
#include "base/time_text.h"

namespace keelson::apply {
namespace {

constexpr size_t kMostFlat = 1 << 20;
// What a line has besides the request and the answer, about.
constexpr size_t kFrame = 256;

enum Field : uint32_t { kTxnResponses = 3, kOpRange = 1, kRangeKvs = 2 };

size_t count_fields(std::string_view message, uint32_t number) {
  size_t count = 0;
  pb::Reader reader(message);
  for (pb::Field field; reader.next(&field);) count += field.is(number, pb::kBytes);
  return count;
}

}  // namespace

void warn_slow(const SlowRequest& slow, LineBudget* lines) {
  count_line(lines, kFrame + slow.request.size() + slow.response.size());
  const std::string took = duration_text(slow.took), expected = duration_text(slow.expected);
  if (slow.status.ok()) {
    return log::warn("apply request took too long", {{"took", took},
                                                     {"expected-duration", expected},
                                                     {"prefix", slow.prefix},
                                                     {"request", slow.request},
                                                     {"response", slow.response}});
  }
  log::warn("apply request took too long", {{"took", took},
                                            {"expected-duration", expected},
                                            {"prefix", slow.prefix},
                                            {"request", slow.request},
                                            {"response", slow.response},
                                            {"error", errors::inner_text(slow.status)}});
}

void warn_failed(const FailedRequest& failed, LineBudget* lines) {
  CHECK(!failed.status.ok());
  count_line(lines, kFrame + failed.request.size());
  log::warn("failed to apply request", {{"took", duration_text(failed.took)},
                                        {"request", failed.request},
                                        {"response", ""},
                                        {"error", errors::inner_text(failed.status)}});
}

std::string answer_text(const Reply& reply) {
  const size_t header = pb::varint_field_size(3, static_cast<uint64_t>(reply.revision));
  return cat("size:", pb::bytes_field_size(1, header) + reply.body.size());
}

std::string range_answer_text(const Reply& reply) {
  return cat("range_response_count:", reply.shown, " ", answer_text(reply));
}

std::string txn_answer_text(const Reply& reply) {
  if (reply.body.first_late() || reply.body.size() > kMostFlat) return answer_text(reply);
  const std::string body = reply.body.flat();
  std::string counts;
  pb::Reader reader(body);
  for (pb::Field response; reader.next(&response);) {
    if (!response.is(kTxnResponses, pb::kBytes)) continue;
    pb::Reader op(response.bytes);
    pb::Field range;
    if (!op.next(&range) || !range.is(kOpRange, pb::kBytes)) continue;
    counts += cat(counts.empty() ? "" : " ",
                  "range_response_count:", count_fields(range.bytes, kRangeKvs));
  }
  return cat("responses:<", counts, "> ", answer_text(reply));
}

}  // namespace keelson::apply
