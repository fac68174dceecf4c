// keelson_load: a load generator for whatever speaks etcd's API. bench/README.md says how it is
// used.

#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>
#include <vector>

#include "load/flags.h"
#include "load/paced_load.h"
#include "load/report.h"
#include "load/unary_load.h"
#include "load/watch_load.h"
#include "load/works.h"

namespace keelson::bench {
namespace {

constexpr const char* kUsage =
    "usage: keelson_load MODE --endpoint HOST:PORT [--flag value ...]\n"
    "\n"
    "modes\n"
    "  put    a key and a value                     get    one key (--serializable)\n"
    "  list   all keys of --prefix in one answer    page   walk --prefix, --limit keys at a time\n"
    "  txn    create, then update, guarded by the revision, as Kubernetes writes\n"
    "  fill   put keys 0 to --space, --repeat times, --batch puts to a transaction\n"
    "  watch  --watchers on --streams streams of --connections, --rate puts a second\n"
    "  paced  --rate puts a second, whatever becomes of them, for --seconds or until SIGINT; with\n"
    "         --first until one is answered, whenever that was (first_ns, CLOCK_MONOTONIC)\n"
    "\n"
    "where      --endpoint HOST:PORT[,HOST:PORT…]: connections take them in turn (not of watch)\n"
    "how much   --connections 1 --streams 1 (calls in flight on each)  --count N  --seconds S\n"
    "           --warm-up S (not counted)  --until-refused (for lack of space)\n"
    "what       --prefix /bench/  --keys same|distinct|cycle|random  --space 1000000\n"
    "           --value-size 256  --fresh (values that do not compress)  --limit 500  --expect N "
    "(keys of a list or a first page)  --seed "
    "1\n"
    "measuring  --pid P[,P…]: also report the CPU time that these processes used\n"
    "\n"
    "It prints one line of JSON. Times are in microseconds.\n";

KeyChoice key_choice(const std::string& name) {
  if (name == "same") return KeyChoice::kSame;
  if (name == "distinct") return KeyChoice::kDistinct;
  if (name == "cycle") return KeyChoice::kCycle;
  if (name == "random") return KeyChoice::kRandom;
  fail("--keys is same, distinct, cycle or random, not", name.c_str());
}

std::vector<pid_t> pids(Flags& flags) {
  std::vector<pid_t> out;
  for (const std::string& text : flags.list("pid", "")) {
    char* end = nullptr;
    const long number = std::strtol(text.c_str(), &end, 10);
    if (number <= 0 || *end != '\0') fail("not a process", text.c_str());
    out.push_back(static_cast<pid_t>(number));
  }
  return out;
}

UnaryOptions unary_options(Flags& flags) {
  UnaryOptions options;
  options.endpoints = flags.list("endpoint", "127.0.0.1:2379");
  options.connections = flags.whole("connections", options.endpoints.size());
  options.streams = flags.whole("streams", 1);
  options.count = flags.whole("count", 0);
  options.seconds = flags.number("seconds", 0);
  options.warm_up = flags.number("warm-up", 0);
  options.servers = pids(flags);
  options.until_refused = flags.is_set("until-refused");
  if (options.connections * options.streams == 0) fail("nothing would be in flight");
  return options;
}

WorkOptions work_options(Flags& flags, size_t slots) {
  WorkOptions options;
  options.prefix = flags.text("prefix", options.prefix);
  options.keys = key_choice(flags.text("keys", "same"));
  options.space = flags.whole("space", options.space);
  options.value_size = flags.whole("value-size", options.value_size);
  options.fresh = flags.is_set("fresh");
  options.serializable = flags.is_set("serializable");
  options.limit = static_cast<int64_t>(flags.whole("limit", 500));
  options.expected = flags.whole("expect", 0);
  options.batch = flags.whole("batch", options.batch);
  options.seed = flags.whole("seed", options.seed);
  options.slots = slots;
  if (options.prefix.empty() || options.space == 0 || options.batch == 0) {
    fail("--prefix, --space and --batch must not be empty");
  }
  return options;
}

std::unique_ptr<Work> make_work(const std::string& mode, const WorkOptions& options) {
  if (mode == "put") return make_put(options);
  if (mode == "get") return make_get(options);
  if (mode == "list") return make_list(options);
  if (mode == "page") return make_page(options);
  if (mode == "txn") return make_txn(options);
  if (mode == "fill") return make_fill(options);
  fail("unknown mode", mode.c_str());
}

void run_unary(const std::string& mode, Flags& flags, JsonLine* line) {
  UnaryOptions options = unary_options(flags);
  WorkOptions work = work_options(flags, options.connections * options.streams);
  if (mode == "fill") {
    uint64_t transactions = (work.space + work.batch - 1) / work.batch;
    options.count = flags.whole("repeat", 1) * transactions;
  }
  if (options.count == 0 && options.seconds == 0 && !options.until_refused) {
    fail("say --count, --seconds or --until-refused");
  }
  flags.check_all_used();
  UnaryLoad(options, make_work(mode, work).get()).run(line);
}

void run_watch(Flags& flags, JsonLine* line) {
  WatchOptions options;
  options.endpoint = flags.text("endpoint", "127.0.0.1:2379");
  options.prefix = flags.text("prefix", options.prefix);
  options.connections = flags.whole("connections", options.connections);
  options.streams = flags.whole("streams", options.streams);
  options.watchers = flags.whole("watchers", options.watchers);
  options.puts_per_second = flags.number("rate", options.puts_per_second);
  options.seconds = flags.number("seconds", options.seconds);
  options.warm_up = flags.number("warm-up", options.warm_up);
  options.patience = flags.number("patience", options.patience);
  options.value_size = flags.whole("value-size", options.value_size);
  options.servers = pids(flags);
  flags.check_all_used();
  if (options.connections == 0 || options.streams == 0 || options.prefix.empty()) {
    fail("--connections, --streams and --prefix must not be empty");
  }
  WatchLoad(options).run(line);
}

void run_paced(Flags& flags, JsonLine* line) {
  PacedOptions options;
  options.endpoints = flags.list("endpoint", "127.0.0.1:2379");
  options.rate = flags.number("rate", options.rate);
  options.seconds = flags.number("seconds", options.seconds);
  options.until_first = flags.is_set("first");
  options.servers = pids(flags);
  WorkOptions work = work_options(flags, 1);
  flags.check_all_used();
  if (options.rate <= 0) fail("--rate must not be 0");
  PacedLoad(options, make_put(work).get()).run(line);
}

}  // namespace
}  // namespace keelson::bench

int main(int argc, char** argv) {
  using namespace keelson::bench;  // NOLINT: the program itself
  if (argc < 2 || argv[1][0] == '-') {
    std::fputs(kUsage, stderr);
    return 2;
  }
  std::string mode = argv[1];
  Flags flags(argc, argv, 2);
  JsonLine line;
  line.add("mode", mode);
  if (mode == "watch") {
    run_watch(flags, &line);
  } else if (mode == "paced") {
    run_paced(flags, &line);
  } else {
    run_unary(mode, flags, &line);
  }
  line.print();
  return 0;
}
