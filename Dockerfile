# The image: both programs and nothing else, no user, no shell. The chart decides who runs what.
#
# `make image` builds the programs first: target/image holds them, made static, with the list of what they are made of.
FROM scratch
COPY coffer-provider coffer-sync LICENSE sbom.cdx.json /
ENTRYPOINT ["/coffer-provider"]
