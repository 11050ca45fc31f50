//! What countries are called: ISO 3166-1, two letters and three.

/// Every country: its two letters, then its three, which are the ids of grids in lower case.
const CODES: &str = "adand aeare afafg agatg aiaia alalb amarm aoago aqata ararg asasm ataut auaus awabw axala azaze \
    babih bbbrb bdbgd bebel bfbfa bgbgr bhbhr bibdi bjben blblm bmbmu bnbrn bobol bqbes brbra bsbhs btbtn bvbvt bwbwa \
    byblr bzblz cacan cccck cdcod cfcaf cgcog chche ciciv ckcok clchl cmcmr cnchn cocol crcri cucub cvcpv cwcuw cxcxr \
    cycyp czcze dedeu djdji dkdnk dmdma dodom dzdza ececu eeest egegy ehesh ereri esesp eteth fifin fjfji fkflk fmfsm \
    fofro frfra gagab gbgbr gdgrd gegeo gfguf ggggy ghgha gigib glgrl gmgmb gngin gpglp gqgnq grgrc gssgs gtgtm gugum \
    gwgnb gyguy hkhkg hmhmd hnhnd hrhrv hthti huhun ididn ieirl ilisr imimn inind ioiot iqirq irirn isisl itita jejey \
    jmjam jojor jpjpn keken kgkgz khkhm kikir kmcom knkna kpprk krkor kwkwt kycym kzkaz lalao lblbn lclca lilie lklka \
    lrlbr lslso ltltu lulux lvlva lylby mamar mcmco mdmda memne mfmaf mgmdg mhmhl mkmkd mlmli mmmmr mnmng momac mpmnp \
    mqmtq mrmrt msmsr mtmlt mumus mvmdv mwmwi mxmex mymys mzmoz nanam ncncl nener nfnfk ngnga ninic nlnld nonor npnpl \
    nrnru nuniu nznzl omomn papan peper pfpyf pgpng phphl pkpak plpol pmspm pnpcn prpri pspse ptprt pwplw pypry qaqat \
    rereu rorou rssrb rurus rwrwa sasau sbslb scsyc sdsdn seswe sgsgp shshn sisvn sjsjm sksvk slsle smsmr snsen sosom \
    srsur ssssd ststp svslv sxsxm sysyr szswz tctca tdtcd tfatf tgtgo ththa tjtjk tktkl tltls tmtkm tntun toton trtur \
    tttto tvtuv twtwn tztza uaukr uguga umumi ususa uyury uzuzb vavat vcvct veven vgvgb vivir vnvnm vuvut wfwlf wswsm \
    yeyem ytmyt zazaf zmzmb zwzwe";
/// What people and the European Union write besides.
const ALIASES: [(&str, &str); 2] = [("uk", "gbr"), ("el", "grc")];

/// The three letters of the country that `code` means, in lower case, if it means one: two or three letters in any case.
#[must_use]
pub(super) fn country(code: &str) -> Option<String> {
    let code = code.to_ascii_lowercase();
    if let Some((_, three)) = ALIASES.iter().find(|(alias, _)| *alias == code) {
        return Some((*three).to_owned());
    }
    let mut codes = CODES.split_whitespace();
    let found = codes.find(|both| code == both[..2] || code == both[2..])?;
    Some(found[2..].to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_letters_and_three_mean_their_country_in_any_case() {
        for (code, three) in [
            ("uk", "gbr"),
            ("UK", "gbr"),
            ("GB", "gbr"),
            ("ua", "ukr"),
            ("CH", "che"),
            ("cl", "chl"),
            ("cn", "chn"),
            ("SE", "swe"),
            ("at", "aut"),
            ("au", "aus"),
            ("EL", "grc"),
            ("gr", "grc"),
            ("is", "isl"),
            ("il", "isr"),
            ("FRA", "fra"),
            ("UsA", "usa"),
        ] {
            assert_eq!(country(code).as_deref(), Some(three), "{code}");
        }
        for none in ["", "f", "xx", "zz", "frx", "franc", "u-s"] {
            assert_eq!(country(none), None, "{none}");
        }
    }

    #[test]
    fn each_of_the_249_codes_is_there_once() {
        let codes: Vec<&str> = CODES.split_whitespace().collect();
        assert!(codes.iter().all(|both| both.len() == 5 && both.bytes().all(|b| b.is_ascii_lowercase())));
        for part in [0..2, 2..5] {
            let mut letters: Vec<&str> = codes.iter().map(|both| &both[part.clone()]).collect();
            letters.sort_unstable();
            letters.dedup();
            assert_eq!(letters.len(), 249);
        }
    }
}
