// leasing_test: `keelson grpc-proxy --experimental-leasing-prefix` as processes, with etcd's own
// among them if there is one: counters that everybody counts up and reads, while members die;
// holders that are stopped, killed, ended; users.

#include <CLI/CLI.hpp>
#include <array>
#include <atomic>
#include <iostream>
#include <map>
#include <thread>

#include "base/random.h"
#include "base/text.h"
#include "proto/rpc.pb.h"
#include "tests/harness/http.h"
#include "tests/proxy/process.h"

namespace keelson::cluster {
namespace {

constexpr char kPrefix[] = "leasing/";

std::vector<std::string> leasing(const std::string& program, const std::string& at,
                                 const std::string& endpoints) {
  return proxy(program, at, endpoints) +
         std::vector<std::string>{cat("--experimental-leasing-prefix=", kPrefix)};
}

struct Got {
  bool ok = false;
  std::string value;
  int64_t mod_revision = 0;
};
Got get(harness::Client& client, const std::string& key, const harness::CallOptions& options = {}) {
  etcdserverpb::RangeRequest request;
  etcdserverpb::RangeResponse response;
  request.set_key(key);
  Got got{.ok = client.unary("/etcdserverpb.KV/Range", request, &response, options).ok()};
  if (response.kvs_size() == 0) return got;
  got.value = response.kvs(0).value();
  got.mod_revision = response.kvs(0).mod_revision();
  return got;
}
grpc::Status put(harness::Client& client, const std::string& key, const std::string& value,
                 const harness::CallOptions& options = {}) {
  etcdserverpb::PutRequest request;
  etcdserverpb::PutResponse response;
  request.set_key(key);
  request.set_value(value);
  return client.unary("/etcdserverpb.KV/Put", request, &response, options);
}
// Of the proxy's page; -1: not there.
int64_t counted(const std::string& at, const std::string& name) {
  const auto page = harness::http_request(at, "GET", "/proxy/metrics");
  if (!page.ok()) return -1;
  const size_t place = page->body.find(cat("\n", name, " "));
  if (place == std::string::npos) return -1;
  return std::stoll(page->body.substr(place + name.size() + 2));
}
// Waits until the key is the proxy's.
bool holds(const std::string& at, harness::Client& client, const std::string& key) {
  return eventually([&] {
    const int64_t hits = counted(at, "keelson_grpc_proxy_leasing_hits_total");
    return get(client, key).ok && counted(at, "keelson_grpc_proxy_leasing_hits_total") == hits + 1;
  });
}

// ---- counters

// Whoever reads one reads no less than had been counted when it asked.
class Counters {
 public:
  static constexpr size_t kKeys = 12;

  explicit Counters(std::vector<std::string> proxies) : proxies_(std::move(proxies)) {}

  void count(uint64_t seed, int times) {
    SeededRandom random(seed);
    Clients clients(proxies_);
    for (int i = 0; i < times; ++i) {
      const size_t key = random.below(kKeys);
      harness::Client& client = clients.any(random);
      const std::optional<Got> before = read(client, key);
      if (!before) continue;
      etcdserverpb::TxnRequest request;
      etcdserverpb::TxnResponse response;
      auto& compare = *request.add_compare();
      compare.set_key(name(key));
      compare.set_target(compare.MOD);
      compare.set_mod_revision(before->mod_revision);
      auto& put = *request.add_success()->mutable_request_put();
      put.set_key(name(key));
      put.set_value(cat(number(*before) + 1));
      if (!client.unary("/etcdserverpb.KV/Txn", request, &response, kLimits).ok()) {
        ++unsure_[key];
      } else if (response.succeeded()) {
        ++sure_[key];
        raise(&known_[key], number(*before) + 1);
      }
    }
  }
  void look(uint64_t seed, int times) {
    SeededRandom random(seed);
    Clients clients(proxies_);
    for (int i = 0; i < times; ++i) {
      const size_t key = random.below(kKeys);
      if (const auto got = read(clients.any(random), key)) raise(&known_[key], number(*got));
    }
  }
  void check_sums(harness::Client& client) {
    int64_t all = 0;
    for (size_t key = 0; key < kKeys; ++key) {
      Got got;
      check(eventually([&] { return (got = get(client, name(key), kLimits)).ok; }), "a last read");
      const int64_t is = number(got);
      check(is >= sure_[key] && is <= sure_[key] + unsure_[key],
            cat(name(key), " is ", is, ", not ", sure_[key].load(), " with ", unsure_[key].load()));
      all += is;
    }
    check(all > 0, "something was counted");
  }

 private:
  const harness::CallOptions kLimits{.deadline = Milliseconds(20000)};
  struct Clients {
    explicit Clients(const std::vector<std::string>& addresses) {
      for (const std::string& at : addresses) all.push_back(std::make_unique<harness::Client>(at));
    }
    harness::Client& any(Random& random) { return *all[random.below(all.size())]; }
    std::vector<std::unique_ptr<harness::Client>> all;
  };

  static std::string name(size_t key) { return cat("counter", key); }
  static int64_t number(const Got& got) { return got.value.empty() ? 0 : std::stoll(got.value); }
  static void raise(std::atomic<int64_t>* known, int64_t to) {
    int64_t now = *known;
    while (now < to && !known->compare_exchange_weak(now, to)) continue;
  }
  std::optional<Got> read(harness::Client& client, size_t key) {
    const int64_t least = known_[key];
    const Got got = get(client, name(key), kLimits);
    if (!got.ok) return std::nullopt;
    if (number(got) < least) {
      std::lock_guard lock(mutex_);
      check(false, cat(name(key), " was ", least, " and is ", number(got)));
    }
    return got;
  }

  const std::vector<std::string> proxies_;
  std::array<std::atomic<int64_t>, kKeys> known_ = {}, sure_ = {}, unsure_ = {};
  std::mutex mutex_;  // of what is printed
};

void count_all(Counters& counters, const std::function<void()>& meanwhile) {
  std::vector<std::thread> threads;
  for (uint64_t i = 0; i < 3; ++i) {
    threads.emplace_back([&counters, i] { counters.count(i + 1, 150); });
    threads.emplace_back([&counters, i] { counters.look(i + 100, 1500); });
  }
  meanwhile();
  for (std::thread& thread : threads) thread.join();
}

// Two of ours and one of theirs, which agree by what stands in the cluster.
void counts(const std::string& program, const std::string& etcd) {
  const Folder work;
  const std::string address = harness::free_address();
  const std::string one = harness::free_address(), two = harness::free_address();
  const std::string theirs = harness::free_address();
  Process store(server(etcd.empty() ? program : etcd, work, address, "http"), work / "server.log");
  check(store.says("ready to serve client requests"), "the server starts: " + store.text());
  Process first(leasing(program, one, address), work / "first.log");
  Process second(leasing(program, two, address), work / "second.log");
  std::vector<std::string> proxies = {one, two};
  std::unique_ptr<Process> third;
  if (!etcd.empty()) {
    third = std::make_unique<Process>(leasing(etcd, theirs, address), work / "third.log");
    check(third->says("started gRPC proxy"), "etcd's starts: " + third->text());
    proxies.push_back(theirs);
  }
  check(first.says("leasing has a session"), "it leases: " + first.text());
  check(second.says("leasing has a session"), "it leases: " + second.text());
  Counters counters(proxies);
  count_all(counters, [] {});
  harness::Client client(one);
  counters.check_sums(client);
  for (const std::string& at : {one, two}) {
    check(counted(at, "keelson_grpc_proxy_leasing_hits_total") > 0, "nothing was answered there");
    check(counted(at, "keelson_grpc_proxy_leasing_revocations_total") > 0, "nothing was revoked");
  }
  if (etcd.empty()) return;
  // And one after the other, so that each is the holder that another asks.
  std::vector<std::unique_ptr<harness::Client>> clients;
  for (const std::string& at : proxies) clients.push_back(std::make_unique<harness::Client>(at));
  for (int round = 0; round < 30; ++round) {
    const std::string key = cat("key", round % 10);
    for (size_t writer = 0; writer < clients.size(); ++writer) {
      for (const auto& reader : clients) check(get(*reader, key).ok, "a read");
      const std::string value = cat(round, ".", writer);
      const grpc::Status status = put(*clients[writer], key, value);
      check(status.ok(), cat("a put: ", status.error_message()));
      for (const auto& reader : clients) {
        const std::string read = get(*reader, key).value;
        check(read == value, cat("behind ", value, " is read ", read));
      }
    }
  }
}

// Members die one after the other.
void members(const std::string& program) {
  const Folder work;
  Cluster cluster({program, program, program});
  cluster.start();
  std::string endpoints;
  for (int i = 0; i < 3; ++i) endpoints += cat(i > 0 ? "," : "", cluster.at(i).address());
  const std::string one = harness::free_address(), two = harness::free_address();
  Process first(leasing(program, one, endpoints), work / "first.log");
  Process second(leasing(program, two, endpoints), work / "second.log");
  check(first.says("leasing has a session"), "it leases: " + first.text());
  check(second.says("leasing has a session"), "it leases: " + second.text());
  Counters counters({one, two});
  harness::Client client(one);
  count_all(counters, [&] {
    for (int i = 0; i < 3; ++i) {
      cluster.at(i).kill();
      check(eventually([&] { return put(client, "beside", cat(i)).ok(); }), "a put without one");
      check(cluster.at(i).start().ok(), "it comes back");
    }
  });
  counters.check_sums(client);
  // What it holds it holds without any of them. The other one may hold it: who writes takes it
  // away.
  check(eventually([&] { return put(client, "counter0", "last").ok(); }),
        "a put of what is counted");
  check(holds(one, client, "counter0"), "it holds a key again");
  for (int i = 0; i < 3; ++i) cluster.at(i).kill();
  check(get(client, "counter0").ok, "what is held is read without a cluster");
  check(!get(client, "elsewhere", {.deadline = Milliseconds(5000)}).ok, "and nothing else is");
}

// ---- holders

// One that stands still for longer than its lease lives, one that is killed, one that is ended.
void holders(const std::string& program) {
  const Folder work;
  const std::string address = harness::free_address();
  Process store(server(program, work, address, "http"), work / "server.log");
  check(store.says("ready to serve client requests"), "the server starts: " + store.text());
  struct Holder {
    explicit Holder(const std::string& program, const Folder& work, const std::string& address,
                    const std::string& name)
        : at(harness::free_address()),
          process(leasing(program, at, address), work / (name + ".log")),
          client(at) {
      check(process.says("leasing has a session"), "it leases: " + process.text());
    }
    const std::string at;
    Process process;
    harness::Client client;
  };
  Holder still(program, work, address, "still"), killed(program, work, address, "killed");
  Holder ended(program, work, address, "ended"), writer(program, work, address, "writer");
  harness::Client direct(address);
  for (const auto& [holder, key] : {std::pair(&still, "a"), {&killed, "b"}, {&ended, "c"}}) {
    check(put(writer.client, key, "before").ok(), "a put");
    check(holds(holder->at, holder->client, key), "it is held");
  }
  // Who ends gives all back.
  check(ended.process.end().has_value(), "it ends");
  check(eventually([&] { return get(direct, "leasing/c").mod_revision == 0; }), "c is free");
  check(get(direct, "leasing/a").mod_revision > 0, "a is not");

  still.process.stop();
  killed.process.kill();
  const harness::CallOptions little{.deadline = Milliseconds(2000)};
  const harness::CallOptions much{.deadline = Milliseconds(150000)};
  check(!put(writer.client, "a", "too early", little).ok(), "a is not written while it is held");
  std::thread another(
      [&] { check(put(writer.client, "b", "after", much).ok(), "b is written once it is free"); });
  check(put(writer.client, "a", "after", much).ok(), "a is written once its time is over");
  another.join();
  still.process.go_on();
  const Got read = get(still.client, "a");
  check(read.ok && read.value == "after", cat("who stood still reads ", read.value));
  check(holds(still.at, still.client, "a"), "and holds it again");
  check(get(still.client, "a").value == "after", "as it is");
}

// ---- users

void users(const std::string& program) {
  const Folder work;
  const std::string address = harness::free_address(), at = harness::free_address();
  Process store(server(program, work, address, "http"), work / "server.log");
  check(store.says("ready to serve client requests"), "the server starts: " + store.text());
  Process between(leasing(program, at, address), work / "proxy.log");
  check(between.says("leasing has a session"), "it leases: " + between.text());
  harness::Client client(at);
  check(put(client, "k", "secret").ok(), "a put");
  check(holds(at, client, "k"), "it is held");

  etcdserverpb::AuthUserAddRequest user;
  user.set_name("root");
  user.set_password("r");
  etcdserverpb::AuthUserAddResponse added;
  check(client.unary("/etcdserverpb.Auth/UserAdd", user, &added).ok(), "root");
  etcdserverpb::AuthUserGrantRoleRequest role;
  role.set_user("root");
  role.set_role("root");
  etcdserverpb::AuthUserGrantRoleResponse granted;
  check(client.unary("/etcdserverpb.Auth/UserGrantRole", role, &granted).ok(), "root is root");
  etcdserverpb::AuthEnableResponse enabled;
  check(client.unary("/etcdserverpb.Auth/AuthEnable", etcdserverpb::AuthEnableRequest(), &enabled)
            .ok(),
        "users count");
  check(eventually([&] { return !get(client, "k").ok; }), "nobody reads any more");
  etcdserverpb::AuthenticateRequest who;
  who.set_name("root");
  who.set_password("r");
  etcdserverpb::AuthenticateResponse known;
  check(client.unary("/etcdserverpb.Auth/Authenticate", who, &known).ok(), "root is known");
  const harness::CallOptions as_root{.metadata = {{"token", known.token()}}};
  check(get(client, "k", as_root).value == "secret", "root reads");
  check(!get(client, "k").ok, "and nobody what root read");
  check(put(client, "other", "1", as_root).ok(), "root writes");
}

}  // namespace
}  // namespace keelson::cluster

int main(int argc, char** argv) {
  std::string server, etcd, repository, what;
  CLI::App app("leasing by gRPC proxies as processes");
  app.add_option("--server", server, "the server")->required();
  app.add_option("--etcd", etcd, "an etcd to agree with (else get-etcd's)");
  app.add_option("--repository", repository, "beside which get-etcd is");
  app.add_option("--what", what, "counts, etcd, holders, members or users")->required();
  CLI11_PARSE(app, argc, argv);
  if (what == "etcd") {
    etcd = keelson::harness::find_etcd(etcd, repository);
    if (etcd.empty()) {
      std::cout << "skipped: no etcd\n";
      return keelson::harness::kSkipped;
    }
    keelson::cluster::counts(server, etcd);
  }
  if (what == "counts") keelson::cluster::counts(server, "");
  if (what == "holders") keelson::cluster::holders(server);
  if (what == "members") keelson::cluster::members(server);
  if (what == "users") keelson::cluster::users(server);
  std::cout << (keelson::cluster::failures == 0 ? "ok\n" : "failed\n");
  return keelson::cluster::failures == 0 ? 0 : 1;
}
