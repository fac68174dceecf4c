#include "server/journal.h"

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstddef>
#include <cstring>
#include <map>
#include <string>

#include "base/endian.h"
#include "base/text.h"

namespace keelson::server {
namespace {

// What listens in place of systemd.
class JournalTest : public testing::Test {
 protected:
  JournalTest()
      : path_(cat("/tmp/keelson-journal-", getpid())),
        socket_(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0)) {
    ::unlink(path_.c_str());
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::memcpy(address.sun_path, path_.data(), path_.size());
    EXPECT_EQ(::bind(socket_, reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
    const timeval patience{20, 0};
    setsockopt(socket_, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
  }
  ~JournalTest() override {
    ::close(socket_);
    ::unlink(path_.c_str());
  }

  using Entry = std::map<std::string, std::string>;

  // The next entry, from its datagram or the file that came with it.
  Entry heard() {
    std::string data(1 << 20, '\0');
    alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
    iovec part{data.data(), data.size()};
    msghdr message{};
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    message.msg_control = control;
    message.msg_controllen = sizeof(control);
    const ssize_t n = ::recvmsg(socket_, &message, 0);
    data.resize(n > 0 ? static_cast<size_t>(n) : 0);
    if (const cmsghdr* head = CMSG_FIRSTHDR(&message)) {
      int file = -1;
      std::memcpy(&file, CMSG_DATA(head), sizeof(int));
      struct stat status {};
      EXPECT_EQ(::fstat(file, &status), 0);
      data.resize(static_cast<size_t>(status.st_size));
      EXPECT_EQ(::pread(file, data.data(), data.size(), 0), status.st_size);
      ::close(file);
    }
    return parsed(data);
  }

  static Entry parsed(std::string_view data) {
    Entry entry;
    while (!data.empty()) {
      const size_t end = data.find('\n');
      const std::string name(data.substr(0, end));
      data.remove_prefix(end + 1);
      const uint64_t size = load_little64(data.data());
      entry[name] = data.substr(8, size);
      EXPECT_EQ(data[8 + size], '\n');
      data.remove_prefix(8 + size + 1);
    }
    return entry;
  }

  const std::string path_;
  const int socket_;
};

TEST_F(JournalTest, TakesLinesWithTheirPriority) {
  auto journal = Journal::open(path_);
  ASSERT_TRUE(journal.ok()) << journal.status();
  (*journal)->write(log::Level::kWarn, "{\"msg\":\"one\nline\"}");
  const Entry entry = heard();
  EXPECT_EQ(entry.at("MESSAGE"), "{\"msg\":\"one\nline\"}");
  EXPECT_EQ(entry.at("PRIORITY"), "4");
  EXPECT_EQ(entry.at("SYSLOG_IDENTIFIER"), program_invocation_short_name);
  (*journal)->write(log::Level::kFatal, "");
  EXPECT_EQ(heard().at("PRIORITY"), "2");
}

TEST_F(JournalTest, LongLinesGoInAFile) {
  auto journal = Journal::open(path_);
  ASSERT_TRUE(journal.ok());
  const std::string line(8 << 20, 'x');
  (*journal)->write(log::Level::kInfo, line);
  EXPECT_EQ(heard().at("MESSAGE"), line);
}

TEST_F(JournalTest, WithoutAJournalThereIsAnError) {
  EXPECT_FALSE(Journal::open(path_ + "-not").ok());
  EXPECT_FALSE(Journal::open(std::string(200, 'x')).ok());
}

}  // namespace
}  // namespace keelson::server
