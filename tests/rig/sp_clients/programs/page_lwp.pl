# Asks for one page with Perl's LWP: page_lwp.pl PROXY URL CA.
use strict;
use warnings;
use LWP::UserAgent;

my ($proxy, $url, $ca) = @ARGV;
my $agent = LWP::UserAgent->new(timeout => 30, ssl_opts => {SSL_ca_file => $ca, verify_hostname => 1});
$agent->proxy(['http', 'https'], $proxy);
my $answer = $agent->get($url);
die $answer->status_line . "\n" unless $answer->is_success;
binmode STDOUT;
print $answer->content;
