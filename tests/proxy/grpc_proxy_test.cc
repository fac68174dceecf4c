// grpc_proxy_test: `keelson grpc-proxy` as a process before a server, beside what a client may try:
// certificates of both sides, right and wrong and changed while it runs; users whose answers are
// nobody else's; watches of a thousand while members die; profiles.

#include <grpcpp/grpcpp.h>

#include <CLI/CLI.hpp>
#include <iostream>

#include "base/text.h"
#include "net/tls/test_ca.h"
#include "proto/rpc.grpc.pb.h"
#include "tests/harness/http.h"
#include "tests/proxy/process.h"

namespace keelson::cluster {
namespace {

using net::put_file;
using net::TestCa;
using net::TestCertificate;

// NAME.pem and NAME.key.
void put(const Folder& folder, const std::string& name, const TestCertificate& certificate) {
  put_file(folder / (name + ".key"), certificate.key_pem());
  put_file(folder / (name + ".pem"), certificate.pem());
}

// A client of one connection of its own.
class Client {
 public:
  Client(const std::string& address, std::shared_ptr<grpc::ChannelCredentials> credentials)
      : channel_(open(address, std::move(credentials))), kv_(etcdserverpb::KV::NewStub(channel_)) {}

  using Metadata = std::vector<std::pair<std::string, std::string>>;

  grpc::Status put(const std::string& key, const std::string& value, int seconds = 5) {
    grpc::ClientContext context;
    limit(&context, seconds);
    etcdserverpb::PutRequest request;
    etcdserverpb::PutResponse response;
    request.set_key(key);
    request.set_value(value);
    return kv_->Put(&context, request, &response);
  }
  grpc::Status get(const std::string& key, const Metadata& metadata, bool serializable,
                   std::string* value) {
    grpc::ClientContext context;
    limit(&context, 20);
    for (const auto& [name, content] : metadata) context.AddMetadata(name, content);
    etcdserverpb::RangeRequest request;
    etcdserverpb::RangeResponse response;
    request.set_key(key);
    request.set_serializable(serializable);
    grpc::Status status = kv_->Range(&context, request, &response);
    if (response.kvs_size() > 0) *value = response.kvs(0).value();
    return status;
  }
  template <typename Service, typename Request, typename Response>
  grpc::Status call(grpc::Status (Service::Stub::*method)(grpc::ClientContext*, const Request&,
                                                          Response*),
                    const Request& request, Response* response) {
    grpc::ClientContext context;
    limit(&context, 20);
    const auto stub = Service::NewStub(channel_);
    return (stub.get()->*method)(&context, request, response);
  }

 private:
  static std::shared_ptr<grpc::Channel> open(
      const std::string& address, std::shared_ptr<grpc::ChannelCredentials> credentials) {
    grpc::ChannelArguments arguments;
    arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
    arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
    return grpc::CreateCustomChannel(address, std::move(credentials), arguments);
  }
  static void limit(grpc::ClientContext* context, int seconds) {
    context->set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(seconds));
  }

  const std::shared_ptr<grpc::Channel> channel_;
  const std::unique_ptr<etcdserverpb::KV::Stub> kv_;
};

std::shared_ptr<grpc::ChannelCredentials> tls(const TestCa& trusted, const TestCertificate* shown) {
  grpc::SslCredentialsOptions options{.pem_root_certs = trusted.pem()};
  if (shown != nullptr) {
    options.pem_cert_chain = shown->pem();
    options.pem_private_key = shown->key_pem();
  }
  return grpc::SslCredentials(options);
}

bool puts(Client& client, const std::string& value) {
  return eventually([&] { return client.put("k", value).ok(); });
}

// ---- certificates

// Of clients to the proxy, of the proxy to the server; those of another authority are refused, and
// so is a proxy whose certificate has a name.
void certificates(const std::string& program) {
  const Folder work;
  const TestCa inner("inner"), outer("outer"), foreign("foreign"), next("next");
  const TestCertificate client_shows = outer.issue({}), stranger = foreign.issue({});
  put(work, "server", inner.issue({}));
  put(work, "towards", inner.issue({}));
  put(work, "proxy", outer.issue({}));
  put(work, "named", inner.issue({.common_name = "root"}));
  put(work, "stranger", stranger);
  put_file(work / "inner.pem", inner.pem());
  put_file(work / "outer.pem", outer.pem());

  const std::string address = harness::free_address(), at = harness::free_address();
  const auto serve = [&] {
    return std::make_unique<Process>(
        server(program, work, address, "https") +
            std::vector<std::string>{
                "--cert-file=" + (work / "server.pem"), "--key-file=" + (work / "server.key"),
                "--trusted-ca-file=" + (work / "inner.pem"), "--client-cert-auth"},
        work / "server.log");
  };
  std::unique_ptr<Process> cluster = serve();
  check(cluster->says("ready to serve client requests"), "the server starts: " + cluster->text());

  const auto flags = [&](const std::string& shown) {
    return std::vector<std::string>{
        "--cert=" + (work / (shown + ".pem")), "--key=" + (work / (shown + ".key")),
        "--cacert=" + (work / "inner.pem"),    "--cert-file=" + (work / "proxy.pem"),
        "--key-file=" + (work / "proxy.key"),  "--trusted-ca-file=" + (work / "outer.pem")};
  };
  {
    Process named(proxy(program, at, address) + flags("named"), work / "named.log");
    check(named.says("cert has non empty Common Name (root)"), "a name is refused");
  }
  {
    Process wrong(proxy(program, at, address) + flags("stranger"), work / "wrong.log");
    check(wrong.says("started gRPC proxy"), "it starts");
    Client client(at, tls(outer, &client_shows));
    check(!client.put("k", "wrong").ok(), "a server takes a proxy's certificate of anybody");
  }
  Process between(proxy(program, at, address) + flags("towards"), work / "proxy.log");
  check(between.says("started gRPC proxy"), "it starts: " + between.text());
  Client client(at, tls(outer, &client_shows));
  check(puts(client, "1"), "a client with a certificate");
  Client without(at, tls(outer, nullptr)), other(at, tls(outer, &stranger));
  Client unbelieving(at, tls(foreign, &client_shows));
  check(!without.put("k", "2").ok(), "a client without a certificate is served");
  check(!other.put("k", "2").ok(), "a client with another's certificate is served");
  check(!unbelieving.put("k", "2").ok(), "a client that does not believe the proxy is served");

  // The cluster goes over to another authority, first the proxy's trust, then all the rest.
  put_file(work / "inner.pem", cat(inner.pem(), next.pem()));
  check(between.says("TLS files have changed and are in force"),
        "the proxy reads its files again: " + between.text());
  check(client.put("k", "3").ok(), "calls go on");
  put(work, "named", next.issue({.common_name = "root"}));
  put(work, "towards", next.issue({}));
  put(work, "server", next.issue({}));
  put_file(work / "inner.pem", next.pem());
  check(cluster->end().has_value(), "the server ends");
  cluster = serve();
  check(cluster->says("ready to serve client requests"), "the server starts: " + cluster->text());
  check(puts(client, "4"), "the proxy connects with what its files say now: " + between.text());

  // One with a name would make everybody that user: it is not taken up, and the old goes on.
  put_file(work / "towards.key", next.issue({}).key_pem());  // not its certificate's
  const TestCertificate named = next.issue({.common_name = "root"});
  put(work, "towards", named);
  check(between.says("going on with the old"), "a name is not taken up: " + between.text());
  check(client.put("k", "5").ok(), "and calls go on");
}

// ---- users

// What one user reads is nobody else's, by whichever field of a call the cluster knows them.
void users(const std::string& program) {
  const Folder work;
  const std::string address = harness::free_address(), at = harness::free_address();
  Process cluster(server(program, work, address, "http"), work / "server.log");
  Process between(proxy(program, at, address), work / "proxy.log");
  check(cluster.says("ready to serve client requests"), "the server starts: " + cluster.text());
  check(between.says("started gRPC proxy"), "it starts: " + between.text());
  Client client(at, grpc::InsecureChannelCredentials());
  check(puts(client, "secret"), "a put");

  using etcdserverpb::Auth;
  etcdserverpb::AuthUserAddRequest user;
  user.set_name("root");
  user.set_password("r");
  etcdserverpb::AuthUserAddResponse added;
  check(client.call<Auth>(&Auth::Stub::UserAdd, user, &added).ok(), "root");
  etcdserverpb::AuthUserGrantRoleRequest role;
  role.set_user("root");
  role.set_role("root");
  etcdserverpb::AuthUserGrantRoleResponse granted;
  check(client.call<Auth>(&Auth::Stub::UserGrantRole, role, &granted).ok(), "root is root");
  etcdserverpb::AuthEnableResponse enabled;
  check(client.call<Auth>(&Auth::Stub::AuthEnable, {}, &enabled).ok(), "users count");
  etcdserverpb::AuthenticateRequest who;
  who.set_name("root");
  who.set_password("r");
  etcdserverpb::AuthenticateResponse known;
  check(client.call<Auth>(&Auth::Stub::Authenticate, who, &known).ok(), "root is known");

  for (const char* field : {"authorization", "token"}) {
    for (const bool serializable : {false, true}) {
      std::string value;
      check(client.get("k", {{field, known.token()}}, serializable, &value).ok(),
            cat("root reads by ", field));
      check(value == "secret", "what there is");
    }
    std::string value;
    check(!client.get("k", {}, true, &value).ok() && value.empty(),
          cat("nobody reads what root read by ", field));
    check(!client.get("k", {{field, "another"}}, true, &value).ok() && value.empty(),
          cat("another reads what root read by ", field));
  }
}

// ---- watches

// Of one stream: what each watcher has heard of the numbers that are written to its key.
class Watches {
 public:
  Watches(harness::Client& client, const std::string& key, int watchers)
      : stream_(client.stream("/etcdserverpb.Watch/Watch", {.deadline = Milliseconds(280000)})),
        heard_(static_cast<size_t>(watchers)) {
    for (int i = 0; i < watchers; ++i) {
      etcdserverpb::WatchRequest request;
      request.mutable_create_request()->set_key(key);
      request.mutable_create_request()->set_start_revision(1);
      check(stream_->send(request.SerializeAsString()), "a watch is asked for");
      read(i % 64 == 63 ? Milliseconds(1) : Milliseconds(0));
    }
  }
  // Takes what is there; false: nothing came.
  bool read(Milliseconds patience) {
    const std::optional<std::string> message = stream_->receive(patience);
    if (!message) return false;
    etcdserverpb::WatchResponse response;
    check(response.ParseFromString(*message) && !response.canceled(), "an answer to a watch");
    for (const mvccpb::Event& event : response.events()) {
      Heard& heard = heard_.at(static_cast<size_t>(response.watch_id()));
      const int number = std::stoi(event.kv().value().substr(0, event.kv().value().find(' ')));
      // One that was tried again may be there twice, at two revisions.
      const bool next = number == heard.number || number == heard.number + 1;
      check(next && event.kv().mod_revision() > heard.revision,
            cat("behind ", heard.number, "@", heard.revision, " comes ", number, "@",
                event.kv().mod_revision()));
      heard = {number, event.kv().mod_revision()};
    }
    return true;
  }
  bool all_heard(int number) {
    return eventually([&] {
             while (read(Milliseconds(10))) continue;
             return stream_->ended() ||
                    std::all_of(heard_.begin(), heard_.end(),
                                [&](const Heard& one) { return one.number == number; });
           }) &&
           !stream_->ended();
  }

 private:
  struct Heard {
    int number = 0;
    int64_t revision = 0;
  };
  const std::unique_ptr<harness::Stream> stream_;
  std::vector<Heard> heard_;  // by watcher
};

// Members die one after the other, then all of them: a thousand watchers of a key, one, and one
// that reads nothing for as long as it lasts hear each number once, in order.
void watches(const std::string& program) {
  const Folder work;
  Cluster cluster({program, program, program});
  cluster.start();
  std::string endpoints;
  for (int i = 0; i < 3; ++i) endpoints += cat(i > 0 ? "," : "", cluster.at(i).address());
  const std::string at = harness::free_address();
  Process between(proxy(program, at, endpoints), work / "proxy.log");
  check(between.says("started gRPC proxy"), "it starts: " + between.text());
  harness::Client one(at), many(at), lazy(at), writer(at);
  Watches quick(one, "large", 1), crowd(many, "small", 1000), slow(lazy, "large", 1);

  int written = 0;
  const auto put = [&](const std::string& key, const std::string& value) {
    etcdserverpb::PutRequest request;
    etcdserverpb::PutResponse response;
    request.set_key(key);
    request.set_value(value);
    const harness::CallOptions options{.deadline = Milliseconds(3000), .wait_for_ready = true};
    const bool good = eventually(
        [&] { return writer.unary("/etcdserverpb.KV/Put", request, &response, options).ok(); });
    check(good, cat("a put without one of three: ", written));
  };
  // More than the proxy would hold for who does not read.
  const auto write = [&](int count) {
    for (int i = 0; i < count; ++i) {
      put("large", cat(++written, " ", std::string(100000, 'x')));
      put("small", cat(written, " "));
    }
  };
  for (int i = 0; i < 3; ++i) {
    write(15);
    cluster.at(i).kill();
    write(15);
    check(quick.all_heard(written), cat("the one hears all without member ", i));
    check(cluster.at(i).start().ok(), "it comes back");
  }
  check(crowd.all_heard(written), "the thousand hear all");
  check(slow.all_heard(written), "who did not read hears all");
  const auto together = [&] {
    const auto page = harness::http_request(at, "GET", "/proxy/metrics");
    const std::string line = "etcd_grpc_proxy_watchers_coalescing_total 1000\n";
    return page.ok() && page->body.find(line) != std::string::npos;
  };
  check(eventually(together), "those of a key have one watch in common");
  for (int i = 0; i < 3; ++i) cluster.at(i).kill();
  etcdserverpb::RangeRequest range;
  etcdserverpb::RangeResponse read;
  range.set_key("small");
  check(
      !writer.unary("/etcdserverpb.KV/Range", range, &read, {.deadline = Milliseconds(8000)}).ok(),
      "a linearizable read without a cluster");
  for (int i = 0; i < 3; ++i) check(cluster.at(i).launch().ok(), "it starts again");
  for (int i = 0; i < 3; ++i) check(cluster.at(i).start().ok(), "it comes back");
  write(1);
  Watches anew(one, "large", 1);
  check(anew.all_heard(written), "who comes then hears all");
}

// ---- profiles

void profiles(const std::string& program) {
  const Folder work;
  const std::string address = harness::free_address();
  const std::string with = harness::free_address(), without = harness::free_address();
  Process open(proxy(program, with, address) + std::vector<std::string>{"--enable-pprof"},
               work / "open.log");
  Process shut(proxy(program, without, address), work / "shut.log");
  check(open.says("gRPC proxy enabled pprof"), "profiles: " + open.text());
  check(open.says("started gRPC proxy") && shut.says("started gRPC proxy"), "they start");
  const auto index = harness::http_request(with, "GET", "/debug/pprof/");
  check(index.ok() && index->code == 200, "the index of profiles");
  check(index.ok() && index->fields.count("access-control-allow-origin") == 0,
        "pages elsewhere may read profiles");
  const auto heap = harness::http_request(with, "GET", "/debug/pprof/heap");
  check(heap.ok() && heap->code == 200 && heap->body.starts_with("\x1f\x8b"), "a profile");
  const auto command = harness::http_request(with, "GET", "/debug/pprof/cmdline");
  check(command.ok() && command->body.find("--enable-pprof") != std::string::npos, "the command");
  const auto none = harness::http_request(without, "GET", "/debug/pprof/");
  check(none.ok() && none->code == 404, "there are none without the flag");
  const std::optional<int> status = open.end();
  check(status && WIFSIGNALED(*status) && WTERMSIG(*status) == SIGTERM, "it ends, by the signal");
}

}  // namespace
}  // namespace keelson::cluster

int main(int argc, char** argv) {
  std::string server, what;
  CLI::App app("the gRPC proxy as a process");
  app.add_option("--server", server, "the server")->required();
  app.add_option("--what", what, "certificates, users, profiles or watches")->required();
  CLI11_PARSE(app, argc, argv);
  if (what == "certificates") keelson::cluster::certificates(server);
  if (what == "users") keelson::cluster::users(server);
  if (what == "profiles") keelson::cluster::profiles(server);
  if (what == "watches") keelson::cluster::watches(server);
  std::cout << (keelson::cluster::failures == 0 ? "ok\n" : "failed\n");
  return keelson::cluster::failures == 0 ? 0 : 1;
}
