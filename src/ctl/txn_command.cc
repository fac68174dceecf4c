// txn: a transaction read from standard input.

#include <istream>
#include <ostream>
#include <thread>

#include "ctl/commands.h"
#include "ctl/txn_grammar.h"

namespace keelson::ctl {
namespace {

// Hands each line of one block to `take`, until the empty line that ends it. A line is judged as
// soon as it is there, so that a typist hears of a mistake at once.
template <typename Take>
absl::Status read_block(Invocation& in, std::string_view prompt, Take&& take) {
  if (in.flags.boolean("interactive")) in.console.out << prompt << std::endl;
  std::string line;
  while (std::getline(in.console.in, line)) {
    if (in.console.in.eof()) break;  // no line feed at its end: not a line
    std::string_view text = trim_space(line);
    if (text.empty()) return absl::OkStatus();
    if (absl::Status status = take(text); !status.ok()) return status;
  }
  return failure(ExitCode::kInvalidInput, "EOF");
}

absl::Status read_compares(Invocation& in, pb::TxnRequest& request) {
  return read_block(in, "compares:", [&](std::string_view line) {
    auto compare = parse_compare(line);
    if (compare.ok()) *request.add_compare() = *std::move(compare);
    return compare.status();
  });
}

template <typename Ops>
absl::Status read_requests(Invocation& in, std::string_view prompt, Ops& ops) {
  return read_block(in, prompt, [&](std::string_view line) {
    std::string warning;
    auto op = parse_request(line, &warning);
    if (!op.ok()) return op.status();
    if (!warning.empty()) {
      in.console.err << warning << std::flush;
      std::this_thread::sleep_for(std::chrono::seconds(2));
    }
    *ops.Add() = *std::move(op);
    return absl::OkStatus();
  });
}

absl::Status run_txn(Invocation& in) {
  if (!in.args().empty()) {
    return failure(ExitCode::kBadArgs, "txn command does not accept argument");
  }
  auto session = open_session(in);
  if (!session.ok()) return session.status();
  pb::TxnRequest request;
  absl::Status status = read_compares(in, request);
  if (status.ok()) {
    status = read_requests(in, "success requests (get, put, del):", *request.mutable_success());
  }
  if (status.ok()) {
    status = read_requests(in, "failure requests (get, put, del):", *request.mutable_failure());
  }
  if (!status.ok()) return status;
  auto response = session->client->call(request, std::nullopt);
  if (!response.ok()) return response.status();
  return session->printer->txn(*response);
}

constexpr std::string_view kDetails =
    R"(Txn reads requests from standard input and applies them as a single atomic transaction:
conditions, requests to apply if all of them hold, requests to apply if one does not.
An empty line ends each part.

---
keelctl txn -i
# compares:
mod("key1") > "0"

# success requests (get, put, del):
put key1 "overwrote-key1"

# failure requests (get, put, del):
put key1 "created-key1"
put key2 "some extra key"

---)";

}  // namespace

Command txn_command() {
  Flag interactive{.name = "interactive",
                   .shorthand = 'i',
                   .type = FlagType::kBool,
                   .default_value = "false",
                   .usage = "Input transaction in interactive mode"};
  return {.use = "txn [options]",
          .brief = "Txn processes all the requests in one transaction",
          .details = std::string(kDetails),
          .group = std::string(kKeyValueGroup),
          .flags = {interactive},
          .run = run_txn};
}

}  // namespace keelson::ctl
